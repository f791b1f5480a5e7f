#!/usr/bin/env python3
"""Make the virtual environment that the Makefile's commands run in; do nothing when it is up to date.

    python3 tools/environment.py [--venv .venv]

It holds the packages of requirements/dev.txt (exact versions, hashes checked), the Horovod wheel built by
tools/horovod_wheel.py, and this repository's own package as an editable install.  What was installed is noted in
the environment itself by a hash of its inputs, so that a second call takes a fraction of a second.

Standard library only.  Talks on stderr.  Without a C++ compiler it says so and leaves Horovod out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
HOROVOD_WHEEL = ROOT / "tools" / "horovod_wheel.py"
# What every call of the launcher and every rank imports.
IMPORTED = "import click, kubernetes.client, kubernetes.config, ruamel.yaml, yaml, tensorflow"
# TensorFlow 2.21 has wheels for these.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)


def talk(line: str) -> None:
    print(f"environment: {line}", file=sys.stderr, flush=True)


def stop(message: str, hint: str) -> None:
    sys.exit(f"Error: {message}\n\nhint: {hint}")


def digest(*parts: str | bytes) -> str:
    """Return a short hash of `parts`."""
    text = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(text).hexdigest()[:16]


class Environment:
    """A virtual environment and the notes of what was put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._notes_file = folder / "mlops-launch.json"

    def notes(self) -> dict[str, str]:
        try:
            notes: dict[str, str] = json.loads(self._notes_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes

    def note(self, key: str, value: str) -> None:
        partial = self._notes_file.with_suffix(".partial")
        partial.write_text(json.dumps(self.notes() | {key: value}, indent=1), encoding="utf-8")
        partial.replace(self._notes_file)

    def create(self) -> None:
        """Make the environment with this Python, or keep it when it was made with the same one."""
        made_with = f"{sys.version_info.major}.{sys.version_info.minor} {os.path.realpath(sys.executable)}"
        if self.notes().get("python") == made_with and self.python.exists():
            return
        if self.folder.exists():
            # Only what this script made is removed: another folder of that name is somebody's work.
            if not (self.folder / "pyvenv.cfg").exists():
                stop(f"not a virtual environment: {self.folder}", "move it away, or give another folder: make VENV=…")
            shutil.rmtree(self.folder)
        talk(f"making {self.folder} with Python {sys.version.split()[0]}")
        made = subprocess.run([sys.executable, "-m", "venv", str(self.folder)], capture_output=True, text=True)
        if made.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._create_without_ensurepip(made.stdout + made.stderr)
        self.note("python", made_with)

    def _create_without_ensurepip(self, why: str) -> None:
        # Debian keeps ensurepip in a package of its own; a pip that is there already can fill the environment.
        has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0
        bare = [sys.executable, "-m", "venv", "--without-pip", str(self.folder)]
        if has_pip and subprocess.run(bare, capture_output=True).returncode == 0:
            outer = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "pip", "setuptools"]
            if subprocess.run(outer).returncode == 0:
                return
        shutil.rmtree(self.folder, ignore_errors=True)
        sys.stderr.write(why)
        stop("this Python cannot make virtual environments", "on Debian and Ubuntu: sudo apt-get install python3-venv")

    def pip_install(self, *arguments: str) -> None:
        """Install with pip, without byte-compiling: of TensorFlow's 10,000 modules few are ever imported."""
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"]
        finished = subprocess.run([*pip, *arguments], env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"})
        if finished.returncode != 0:
            stop(f"pip ended with exit code {finished.returncode}", "its message is above; the same command goes on where it stopped")

    def install_requirements(self) -> None:
        wanted = digest(REQUIREMENTS.read_bytes())
        if self.notes().get("requirements") == wanted:
            return
        talk(f"installing {REQUIREMENTS.relative_to(ROOT)}: TensorFlow, Open MPI, test tools; the first time they are downloaded")
        start = time.monotonic()
        self.pip_install("--require-hashes", "-r", str(REQUIREMENTS))
        self.compile_what_is_imported()
        self.note("requirements", wanted)
        talk(f"installed in {time.monotonic() - start:.0f} s")

    def compile_what_is_imported(self) -> None:
        """Have Python keep the byte code of what every call imports, also where PYTHONDONTWRITEBYTECODE forbids it later.

        `import kubernetes.client` takes 0.21 s with it and 0.45 s without (python -X importtime).
        """
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # A failure costs time only, and what does not work says so where it is used; TensorFlow's talk is of no use here.
        subprocess.run([str(self.python), "-c", IMPORTED], env=environment, capture_output=True, check=False)

    def install_horovod(self) -> None:
        built = subprocess.run([str(self.python), str(HOROVOD_WHEEL)], stdout=subprocess.PIPE, text=True)
        if built.returncode == os.EX_UNAVAILABLE:
            if "horovod" not in self.notes():
                talk("no C++ compiler, so no Horovod: ranks will use mpi4py")
                talk("`sudo apt-get install g++` and the same command again adds Horovod")
            return
        if built.returncode != 0:
            stop("the Horovod wheel was not built", "its log is above; `make DEMO_COMM=mpi4py demo` goes without Horovod")
        wheel = built.stdout.strip()
        if self.notes().get("horovod") != wheel:
            self.pip_install("--no-deps", "--force-reinstall", wheel)
            self.note("horovod", wheel)

    def install_package(self) -> None:
        inputs = [ROOT / "setup.py", ROOT / "launcher" / "mlops_launch" / "__init__.py"]
        wanted = digest(str(ROOT), *(path.read_bytes() for path in inputs))
        if self.notes().get("package") != wanted:
            self.pip_install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
            self.note("package", wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment (default: .venv)")
    parser.add_argument("--without-horovod", action="store_true", help="do not build or install Horovod")
    arguments = parser.parse_args()
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        stop(
            f"TensorFlow 2.21 runs on Python 3.10 to 3.13, this is {sys.version.split()[0]}: {sys.executable}",
            "name another one: make PYTHON=python3.12 demo",
        )
    environment = Environment(arguments.venv.absolute())
    environment.create()
    environment.install_requirements()
    if not arguments.without_horovod:
        environment.install_horovod()
    environment.install_package()


if __name__ == "__main__":
    main()
