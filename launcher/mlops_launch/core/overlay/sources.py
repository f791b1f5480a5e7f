"""The texts of patches that an overlay itself gives, each in a file or inline in the kustomization, in the order of their application."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.innertext import InnerText, inner_text
from mlops_launch.core.overlay.patches import lines_above
from mlops_launch.core.overlay.reach import PatchItem, patch_items


@dataclass(frozen=True)
class PatchSource:
    """One text of patches.

    Args:
        file: where it is.
        field: the kustomization's field that names it.
        number: its place in that field, from 0.
        is_inline: whether the kustomization itself holds the text.
    """

    file: str
    field: str
    number: int
    is_inline: bool

    def text(self, files: OverlayFiles) -> str | None:
        """Return the text; None when it is not there."""
        if not self.is_inline:
            return files.texts.get(self.file)
        inner = self._inner(files)
        return None if inner is None else inner.content

    def with_text(self, files: OverlayFiles, text: str) -> OverlayFiles:
        """Return the overlay with another text in its place.

        Raises:
            LauncherError: it stands in quotes in a way that cannot be kept.
        """
        inner = self._inner(files) if self.is_inline else None
        return files.with_texts({self.file: text if inner is None else inner.replaced(files.texts[self.file], text)})

    def offset(self, files: OverlayFiles) -> int:
        """Return how many lines of `file` stand above the text."""
        item = self._item(files) if self.is_inline else None
        return 0 if item is None or item.inline is None else lines_above(item.inline)

    def _item(self, files: OverlayFiles) -> PatchItem | None:
        found = (item for item in patch_items(files.kustomization_tree) if (item.field, item.number) == (self.field, self.number))
        return next(found, None)

    def _inner(self, files: OverlayFiles) -> InnerText | None:
        item = self._item(files)
        return None if item is None else inner_text(files.texts[self.file], item.inline)


def patch_sources(files: OverlayFiles) -> list[PatchSource]:
    """Return the texts of patches in the order in which they are applied; a file that is named twice counts where it is last."""
    found: dict[tuple[str, str, int], PatchSource] = {}
    for item in patch_items(files.kustomization_tree):
        key = (files.kustomization, item.field, item.number) if item.path is None else (item.path, "", -1)
        found.pop(key, None)
        found[key] = PatchSource(item.path or files.kustomization, item.field, item.number, item.path is None)
    return list(found.values())


def whole_kustomization(files: OverlayFiles) -> PatchSource:
    """Return the kustomization itself as a text to edit."""
    return PatchSource(files.kustomization, "", 0, is_inline=False)
