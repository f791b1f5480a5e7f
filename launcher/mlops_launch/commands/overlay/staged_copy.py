"""A copy of an overlay with other texts, in a temporary folder from which it still finds its bases."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlops_launch.core.overlay.files import OverlayFiles

_UPWARDS = re.compile(r"(?:\.\./)+")


@contextmanager
def shadow(overlay: Path, files: OverlayFiles, texts: Mapping[str, str]) -> Iterator[Path]:
    """Yield a temporary folder that holds the overlay with `texts` in place of its own.

    Only what the kustomization names is copied, links as links. It names bases by `../`: as many folders above the overlay
    are rebuilt, with links to their content.
    """
    real = overlay.resolve()
    named = [real / path for path in files.reach.other]
    inner = [path.read_text(errors="replace") for folder in named if folder.is_dir() for path in folder.rglob("*.yaml")]
    found = _UPWARDS.findall("\n".join([*files.texts.values(), *texts.values(), *inner]))
    levels = min(max((len(match) // 3 for match in found), default=0), len(real.parents) - 1)
    with tempfile.TemporaryDirectory(prefix="mlops-launch-") as temporary:
        above = Path(temporary)
        for folder in reversed(real.parents[:levels]):
            below = real.relative_to(folder).parts[0]
            _link_content(folder, above, without={below})
            above = above / below
            above.mkdir()
        # kustomize reads an overlay's own files only where they are, not behind links.
        copy = above if levels else above / real.name
        copy.mkdir(exist_ok=True)
        for source in named:
            _copy(source, copy / source.relative_to(real))
        for name, text in {**files.texts, **texts}.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(text.encode())
        yield copy


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copy2(source, target)


def _link_content(folder: Path, into: Path, without: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in without:
            (into / path.name).symlink_to(path)
