"""Builds the cluster's programs from go.mod, once per content of go.mod, go.sum, pause/ and per Go version."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

from .settings import KUBERNETES, SOURCE, ClusterError

INPUTS = ("go.mod", "go.sum", "pause/main.go")
PROGRAMS = {
    "server": "etcd",
    "coredns": "coredns",
    "jobset": "jobset",
    "kube-apiserver": "kube-apiserver",
    "kube-controller-manager": "kube-controller-manager",
    "kube-proxy": "kube-proxy",
    "kube-scheduler": "kube-scheduler",
    "kubectl": "kubectl",
    "kubelet": "kubelet",
    "kwok": "kwok",
    "mpi-operator": "mpi-operator",
}
"""Name that `go build` gives → name in the bin folder."""

MAJOR, MINOR, _ = KUBERNETES.removeprefix("v").split(".")
LDFLAGS = " ".join(
    ["-s", "-w"]
    + [
        f"-X k8s.io/component-base/version.{name}={value}"
        for name, value in (("gitVersion", KUBERNETES), ("gitMajor", MAJOR), ("gitMinor", MINOR))
    ]
)


def go(*arguments: str) -> str:
    """Runs `go` in the module's folder and returns its stdout.

    Raises:
        ClusterError: no `go`, or it failed; its stderr is in the message.
    """
    try:
        done = subprocess.run(["go", *arguments], cwd=SOURCE, env=_environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise ClusterError("the e2e ring builds its cluster with Go 1.26 or newer: no `go` on PATH") from missing
    if done.returncode != 0:
        raise ClusterError(f"`go {' '.join(arguments)}` failed with exit code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def module_folder(module: str) -> Path:
    """The folder of a module's sources, downloaded when it is not there."""
    return Path(go("list", "-m", "-f", "{{.Dir}}", module).strip())


def module_version(module: str) -> str:
    """The version that go.mod pins, e.g. `v0.8.2`."""
    return go("list", "-m", "-f", "{{.Version}}", module).strip()


def programs(cache: Path) -> Path:
    """The bin folder with every program of PROGRAMS and `pause`; builds it when it is not in the cache.

    About 16 CPU-minutes when Go's own cache is cold.
    """
    digest = hashlib.sha256(go("version").encode())
    for name in INPUTS:
        digest.update((SOURCE / name).read_bytes())
    target = cache / digest.hexdigest()[:16] / "bin"
    if target.is_dir():
        return target
    begun = time.monotonic()
    print(f"e2e: building the cluster's programs, minutes when Go's cache is cold: {target}", flush=True)
    partial = target.with_name(f"bin.{os.getpid()}")
    partial.mkdir(parents=True)
    go("build", "-o", f"{partial}/", "-ldflags", LDFLAGS, "tool", "./pause")
    for built, name in PROGRAMS.items():
        (partial / built).rename(partial / name)
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process was faster, with the same content
            raise
    print(f"e2e: built in {time.monotonic() - begun:.0f} s", flush=True)
    return target


def _environment() -> dict[str, str]:
    # Without cgo the programs run on a root file system that holds nothing else.
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
