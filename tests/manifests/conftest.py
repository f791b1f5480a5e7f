from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests.tools import ALL_REDUCE, JOBSET, MPI_OPERATOR, MULTI_NODE, SINGLE_NODE, Kustomize, Rendered, built_kustomize


def find_go() -> str:
    go = shutil.which("go")
    if go is None:
        # CI has Go: there a missing one must not pass for a pass.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no Go on PATH: it builds kustomize 5.4.2 and brings the schemas of MPIJobs and JobSets"
        )
    return go


@pytest.fixture(scope="session")
def kubectl() -> Kustomize:
    """The kustomize inside the newest kubectl, from requirements/dev.txt."""
    return Kustomize((str(Path(sys.executable).parent / "kubectl"), "kustomize"))


@pytest.fixture(scope="session")
def kustomize() -> Kustomize:
    """The oldest kustomize that is supported."""
    return Kustomize((str(built_kustomize(find_go())), "build"))


@pytest.fixture(scope="session")
def mpi_operator_module() -> Path:
    """The folder of mpi-operator's Go module."""
    return module(MPI_OPERATOR)


@pytest.fixture(scope="session")
def jobset_module() -> Path:
    """The folder of JobSet's Go module."""
    return module(JOBSET)


def module(name: str) -> Path:
    argv = [find_go(), "mod", "download", "-json", name]
    finished = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300)
    return Path(json.loads(finished.stdout)["Dir"])


@pytest.fixture(scope="session")
def single_node(kubectl: Kustomize) -> Rendered:
    return kubectl.render(SINGLE_NODE)


@pytest.fixture(scope="session")
def multi_node(kubectl: Kustomize) -> Rendered:
    return kubectl.render(MULTI_NODE)


@pytest.fixture(scope="session")
def all_reduce(kubectl: Kustomize) -> Rendered:
    return kubectl.render(ALL_REDUCE)
