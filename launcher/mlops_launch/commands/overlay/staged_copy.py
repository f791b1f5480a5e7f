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

    The kustomization names bases by `../`: as many folders above the overlay are rebuilt, with links to their content.
    """
    real = overlay.resolve()
    found = _UPWARDS.findall("".join([*files.texts.values(), *texts.values()]))
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
        shutil.copytree(real, copy, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
        for name, text in texts.items():
            (copy / name).write_bytes(text.encode())
        yield copy


def _link_content(folder: Path, into: Path, without: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in without:
            (into / path.name).symlink_to(path)
