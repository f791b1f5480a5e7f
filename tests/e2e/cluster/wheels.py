"""Python packages put into an image's root file system, in the versions of the training image's lock file."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .settings import REPOSITORY, ClusterError

LOCK = REPOSITORY / "requirements" / "image-tensorflow-cpu.txt"
PYTHON = "3.11"
"""Of Debian 12."""


def locked(names: Sequence[str]) -> str:
    """The lock file's lines for these packages, with their hashes.

    Raises:
        ClusterError: the lock file does not name one of them.
    """
    text, blocks = LOCK.read_text(), []
    for name in names:
        found = re.search(rf"^{re.escape(name)}==[^\n]*\n(?: +--hash=[^\n]*\n)*", text, re.MULTILINE)
        if found is None:
            raise ClusterError(f"{LOCK} has no line for: {name}")
        blocks.append(found[0])
    return "".join(blocks)


def install(requirements: str, root: Path) -> None:
    """Downloads the wheels of `requirements` (lock file lines) and unpacks them below `root`/usr/local.

    Raises:
        ClusterError: a wheel could not be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch) / "requirements.txt"
        listing.write_text(requirements)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        command = [*pip, f"--python-version={PYTHON}", f"--dest={scratch}", f"--requirement={listing}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{done.stderr.strip()[-2000:]}")
        for wheel in Path(scratch).glob("*.whl"):
            _unpack(wheel, root / "usr" / "local")


def _unpack(wheel: Path, prefix: Path) -> None:
    places = {"data": prefix, "scripts": prefix / "bin"}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            target = prefix / "lib" / f"python{PYTHON}" / "dist-packages" / member.filename
            if ".data/" in member.filename:
                kind, _, rest = member.filename.partition(".data/")[2].partition("/")
                target = places[kind] / rest
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
            target.chmod((member.external_attr >> 16) & 0o777 or 0o644)
