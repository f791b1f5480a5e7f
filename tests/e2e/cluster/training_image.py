"""The project's Dockerfile, built on a Debian made by debootstrap and put into the node's container engine.

An image is known by the content of what the Dockerfile copies. buildah keeps its layers between builds, and only
layers that the engine lacks are handed over: a change of our own code costs seconds, not two gigabytes.
"""

import ast
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import IO

from . import containerd, images
from .sandbox import Sandbox
from .settings import REPOSITORY, ClusterError

REGISTRY = "e2e.local"
INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "requirements/horovod-build.txt",
    "requirements/image-tensorflow-cpu.txt",
    "tools/horovod_wheel.py",
    "setup.py",
    "README.md",
    "LICENSE",
    "launcher",
    "common",
    "models",
    "quickstart",
)
BASE = "localhost/debian"
BASE_FILE = "FROM scratch\nADD {archive} /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CERTIFICATES = "/run/secrets/ca.crt"
"""Where the Dockerfile mounts the secret `ca.crt`."""


@dataclass(frozen=True)
class TrainingImage:
    """A built image: `tag` is a hash of its inputs; `blobs` holds configuration and layers under their SHA-256, uncompressed."""

    tag: str
    blobs: Path
    config: str

    @property
    def name(self) -> str:
        """The name that the overlays give it with REGISTRY=e2e.local and IMAGE_TAG=<tag>."""
        return f"{REGISTRY}/mlops-launch:{self.tag}"

    @property
    def layers(self) -> list[str]:
        """The layers' SHA-256, the base first."""
        ids: list[str] = json.loads((self.blobs / self.config).read_text())["rootfs"]["diff_ids"]
        return [layer.removeprefix("sha256:") for layer in ids]

    @property
    def layer_sizes(self) -> list[int]:
        """Bytes of each layer, uncompressed."""
        return [(self.blobs / layer).stat().st_size for layer in self.layers]


def build(cache: Path) -> TrainingImage:
    """Builds the image of the working tree, or finds it; time and size are printed.

    Minutes when nothing is cached, seconds after a change of our own code.

    Raises:
        ClusterError: the build failed; the end of its log is in the message.
    """
    folder = cache / "training-image"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        begun, tag = time.monotonic(), inputs_digest(REPOSITORY)
        record = folder / f"image-{tag}.json"
        if record.exists():
            record.touch()
            return _recorded(record)
        print("e2e: building the training image, minutes when nothing is cached", flush=True)
        _build(cache, folder, tag)
        image = TrainingImage(tag, folder / "blobs", _export(folder, tag))
        record.write_text(json.dumps({"tag": tag, "config": image.config}))
        _forget(folder)
    mebibytes = [size / 1048576 for size in image.layer_sizes]
    layers = " ".join(f"{size:.1f}" for size in mebibytes)
    print(f"e2e: training image built in {time.monotonic() - begun:.0f} s: {sum(mebibytes):.0f} MiB in layers of {layers}", flush=True)
    return image


def _recorded(record: Path) -> TrainingImage:
    held = json.loads(record.read_text())
    return TrainingImage(held["tag"], record.parent / "blobs", held["config"])


def _forget(folder: Path) -> None:
    """Removes all but the images used last; the layers of the stages stay in buildah's store, to build on."""
    newest_last = sorted(folder.glob("image-*.json"), key=lambda path: path.stat().st_mtime)
    old, kept = newest_last[: -images.KEPT], newest_last[-images.KEPT :]
    for record in old:
        _buildah(folder, "rmi", f"{REGISTRY}/mlops-launch:{_recorded(record).tag}", check=False)
        record.unlink()
    needed = {blob for image in map(_recorded, kept) for blob in (image.config, *image.layers)}
    for blob in (folder / "blobs").iterdir():
        if blob.name not in needed:
            blob.unlink()


def load(sandbox: Sandbox, image: TrainingImage) -> None:
    """Puts the image into the node's container engine: the layers that are not there yet, and none twice.

    Raises:
        ClusterError: the engine refused it.
    """
    if image.name in containerd.image_names(sandbox):
        return
    begun = time.monotonic()
    there = set(sandbox.enter(["ctr", "-n", "k8s.io", "content", "list", "-q"]).stdout.split())
    missing = [blob for blob in dict.fromkeys([*image.layers, image.config]) if f"sha256:{blob}" not in there]
    command = [*sandbox.nsenter(), "ctr", "-n", "k8s.io", "images", "import", "-"]
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=words, stderr=words)
        assert process.stdin is not None
        # When it ends early it says why.
        with contextlib.suppress(BrokenPipeError):
            _write_archive(image, missing, process.stdin)
        if process.wait() != 0:
            words.seek(0)
            raise ClusterError(f"containerd did not take the training image: {words.read().decode(errors='replace')[-2000:]}")
    size = sum((image.blobs / blob).stat().st_size for blob in missing) / 1048576
    print(f"e2e: training image loaded in {time.monotonic() - begun:.1f} s: {size:.0f} MiB were missing", flush=True)


def inputs_digest(repository: Path) -> str:
    """A hash of everything that the Dockerfile copies, and of the recipe of its base."""
    digest = hashlib.sha256(f"{images.RECIPE} {BASE_FILE}".encode())
    for path in _files(repository):
        digest.update(f"{path.relative_to(repository)} {path.stat().st_mode & 0o111}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(repository: Path) -> Iterator[Path]:
    for name in INPUTS:
        top = repository / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            # As .dockerignore has it.
            ignored = any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)
            if path.is_file() and not ignored:
                yield path


def _build(cache: Path, folder: Path, tag: str) -> None:
    base = images.debian(cache)
    base_name = f"{BASE}:{base.stem}"
    if _buildah(folder, "inspect", "--type=image", base_name, check=False).returncode != 0:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = Path(scratch) / "Containerfile"
            recipe.write_text(BASE_FILE.format(archive=base.name))
            _buildah(folder, "bud", "--file", str(recipe), "--tag", base_name, str(base.parent))
    with tempfile.TemporaryDirectory() as scratch:
        secrets = _secrets(Path(scratch))
        arguments = ["--layers", "--build-arg", f"BASE_IMAGE={base_name}", *secrets, "--tag", f"{REGISTRY}/mlops-launch:{tag}"]
        _buildah(folder, "bud", *arguments, str(REPOSITORY))


def _export(folder: Path, tag: str) -> str:
    """Takes the image's blobs out of buildah's store; returns the SHA-256 of its configuration.

    Layers are not compressed: that would take longer than all the rest.
    """
    blobs = folder / "blobs"
    blobs.mkdir(exist_ok=True)
    config = ""
    command = _command(folder, "push", "--quiet", f"{REGISTRY}/mlops-launch:{tag}", "docker-archive:/dev/stdout")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                # HASH.tar is a layer, HASH.json the configuration; what else there is repeats them for old readers.
                name, _, kind = member.name.partition(".")
                if len(name) != 64 or kind not in ("tar", "json"):
                    continue
                config = name if kind == "json" else config
                content = archive.extractfile(member)
                assert content is not None
                if not (blobs / name).exists():
                    partial = blobs / f"{name}.partial"
                    with partial.open("wb") as target:
                        shutil.copyfileobj(content, target, 1 << 20)
                    partial.rename(blobs / name)
    if process.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed with exit code {process.returncode}")
    return config


def _buildah(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = _command(folder, *arguments)
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{done.stdout[-4000:]}")
    return done


def _command(folder: Path, *arguments: str) -> list[str]:
    return ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"), *arguments]


def _secrets(folder: Path) -> list[str]:
    """buildah's words that hand this machine's package index and certificates to the build; they never reach a layer."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    # The environment comes last, and wins.
    lines = sorted(listed.splitlines(), key=lambda line: line.startswith(":env:"))
    found = {key.rpartition(".")[2]: ast.literal_eval(value) for key, _, value in (line.partition("=") for line in lines)}
    certificates = found.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE")
    settings = {name: found[name] for name in PIP_SETTINGS if name in found} | ({"cert": CERTIFICATES} if certificates else {})
    # A value of several lines is indented in pip's files.
    text = "[global]\n" + "".join(f"{name} = {str(value).replace(os.linesep, os.linesep + '  ')}\n" for name, value in settings.items())
    (folder / "pip.conf").write_text(text)
    words = ["--secret", f"id=pip.conf,src={folder / 'pip.conf'}"]
    return [*words, "--secret", f"id=ca.crt,src={certificates}"] if certificates else words


def _write_archive(image: TrainingImage, blobs: list[str], stream: IO[bytes]) -> None:
    """An OCI archive of the image with some of its blobs; the engine finds the others in its own store."""

    def described(blob: str, kind: str) -> dict[str, object]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{blob}", "size": (image.blobs / blob).stat().st_size}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(image.config, "config.v1+json"),
        "layers": [described(layer, "layer.v1.tar") for layer in image.layers],
    }
    content = json.dumps(manifest, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    annotations = {"io.containerd.image.name": image.name}
    entry = {"mediaType": MANIFEST, "digest": f"sha256:{digest}", "size": len(content), "annotations": annotations}
    with stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for blob in blobs:
            archive.add(image.blobs / blob, f"blobs/sha256/{blob}")
        for name, text in {
            f"blobs/sha256/{digest}": content,
            "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
