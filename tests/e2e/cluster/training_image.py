"""The project's Dockerfile, built on a Debian made by debootstrap and put into the node's container engine.

An image is known by the content of what the Dockerfile copies. buildah keeps its layers between builds, and only
layers that the engine lacks are handed over: a change of our own code costs seconds, not two gigabytes.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import IO, Any

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
CERTIFICATES = "/run/secrets/ca.crt"
"""Where the Dockerfile mounts the secret `ca.crt`."""


@dataclass(frozen=True)
class TrainingImage:
    """A built image: `tag` is a hash of its inputs, `layout` the OCI folder that holds it, `manifest` its digest there."""

    tag: str
    layout: Path
    manifest: str

    @property
    def name(self) -> str:
        """The name that the overlays give it with REGISTRY=e2e.local and IMAGE_TAG=<tag>."""
        return f"{REGISTRY}/mlops-launch:{self.tag}"

    @property
    def blobs(self) -> list[str]:
        """The digests of manifest, configuration and layers."""
        described = self.read(self.manifest)
        return [self.manifest, described["config"]["digest"], *(layer["digest"] for layer in described["layers"])]

    @property
    def layer_sizes(self) -> list[int]:
        """Bytes of each layer, uncompressed."""
        return [layer["size"] for layer in self.read(self.manifest)["layers"]]

    def path(self, blob: str) -> Path:
        """The file of a blob."""
        return self.layout / "blobs" / blob.replace(":", "/")

    def read(self, blob: str) -> dict[str, Any]:
        """A blob's JSON."""
        value: dict[str, Any] = json.loads(self.path(blob).read_text())
        return value


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
        tag, begun = inputs_digest(REPOSITORY), time.monotonic()
        image = _find(folder / "layout", tag)
        if image is None:
            _build(cache, folder, tag)
            image = _find(folder / "layout", tag)
            assert image is not None
            _forget_others(image)
            mebibytes = [size / 1048576 for size in image.layer_sizes]
            layers = ", ".join(f"{size:.1f}" for size in mebibytes)
            print(f"e2e: training image built in {time.monotonic() - begun:.0f} s: {sum(mebibytes):.0f} MiB, layers: {layers}", flush=True)
    return image


def load(sandbox: Sandbox, image: TrainingImage) -> None:
    """Puts the image into the node's container engine: the layers that are not there yet, and none twice.

    Raises:
        ClusterError: the engine refused it.
    """
    if image.name in containerd.image_names(sandbox):
        return
    begun = time.monotonic()
    there = set(sandbox.enter(["ctr", "-n", "k8s.io", "content", "list", "-q"]).stdout.split())
    missing = [blob for blob in dict.fromkeys(image.blobs) if blob not in there]
    command = [*sandbox.nsenter(), "ctr", "-n", "k8s.io", "images", "import", "-"]
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=words, stderr=words)
        assert process.stdin is not None
        try:
            _write_archive(image, missing, process.stdin)
        except BrokenPipeError:
            pass  # it ended early, and says why
        if process.wait() != 0:
            words.seek(0)
            raise ClusterError(f"containerd did not take the training image: {words.read().decode(errors='replace')[-2000:]}")
    size = sum(image.path(blob).stat().st_size for blob in missing) / 1048576
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


def _find(layout: Path, tag: str) -> TrainingImage | None:
    try:
        index = json.loads((layout / "index.json").read_text())
    except FileNotFoundError:
        return None
    for entry in index["manifests"]:
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            return TrainingImage(tag, layout, entry["digest"])
    return None


def _build(cache: Path, folder: Path, tag: str) -> None:
    base = images.debian(cache)
    base_name = f"{BASE}:{base.stem}"
    print("e2e: building the training image, minutes when nothing is cached", flush=True)
    if _buildah(folder, "inspect", "--type=image", base_name, check=False).returncode != 0:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = Path(scratch) / "Containerfile"
            recipe.write_text(BASE_FILE.format(archive=base.name))
            _buildah(folder, "bud", "--file", str(recipe), "--tag", base_name, str(base.parent))
    with tempfile.TemporaryDirectory() as scratch:
        secrets = _secrets(Path(scratch))
        arguments = ["--layers", "--build-arg", f"BASE_IMAGE={base_name}", *secrets, "--tag", f"{REGISTRY}/mlops-launch:{tag}"]
        _buildah(folder, "bud", *arguments, str(REPOSITORY))
    # Uncompressed: the layers go no further than the disk, and compressing them takes longer than writing.
    layout = f"oci:{folder / 'layout'}:{tag}"
    _buildah(folder, "push", "--disable-compression", "--format", "oci", f"{REGISTRY}/mlops-launch:{tag}", layout)


def _buildah(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"), *arguments]
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{done.stdout[-4000:]}")
    return done


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
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.manifest,
        "size": image.path(image.manifest).stat().st_size,
        "annotations": {"io.containerd.image.name": image.name},
    }
    with stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for blob in blobs:
            archive.add(image.path(blob), f"blobs/{blob.replace(':', '/')}")
        images.add_bytes(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        images.add_bytes(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')


def _forget_others(image: TrainingImage) -> None:
    """Removes the blobs of older images from the layout; buildah's own store keeps the layers to build on."""
    index = json.loads((image.layout / "index.json").read_text())
    index["manifests"] = [entry for entry in index["manifests"] if entry["digest"] == image.manifest]
    (image.layout / "index.json").write_text(json.dumps(index))
    kept = {image.path(blob) for blob in image.blobs}
    for path in (image.layout / "blobs").glob("*/*"):
        if path not in kept:
            path.unlink()
