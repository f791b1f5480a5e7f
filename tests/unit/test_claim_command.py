"""The hint for a claim that is missing: a line that can be pasted in any folder and creates what k8s/storage/default has."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from mlops_launch.commands.cluster.submit import claim_command

STORAGE = Path(__file__).resolve().parents[2] / "k8s/storage/default"


@pytest.mark.parametrize("claim", ["datasets", "outputs"])
def test_it_gives_kubectl_the_claim_of_the_storage_folder(tmp_path: Path, claim: str) -> None:
    (tmp_path / "kubectl").write_text('#!/bin/sh\nprintf "%s\\n" "$*" >arguments\ncat >object\n')
    (tmp_path / "kubectl").chmod(0o755)
    subprocess.run(["sh", "-c", claim_command("team-a", claim)], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "arguments").read_text() == "-n team-a apply -f -\n"
    assert json.loads((tmp_path / "object").read_text()) == yaml.safe_load((STORAGE / f"{claim}.yaml").read_text())
