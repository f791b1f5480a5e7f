"""The texts of patches that an overlay itself gives, each in a file or inline in the kustomization, in the order of their application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import Node

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.blocktext import BlockText, block_text
from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.reach import items

# kustomize applies them in this order, whatever theirs in the file is.
_FIELDS = ("patchesStrategicMerge", "patches", "patchesJson6902")


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
        """Return the text; None when it is not there, or stands in quotes."""
        if not self.is_inline:
            return files.texts.get(self.file)
        block = self._block(files)
        return None if block is None else block.content

    def with_text(self, files: OverlayFiles, text: str) -> OverlayFiles:
        """Return the overlay with another text in its place."""
        block = self._block(files) if self.is_inline else None
        return files.with_texts({self.file: text if block is None else block.replaced(files.texts[self.file], text)})

    def offset(self, files: OverlayFiles) -> int:
        """Return how many lines of `file` stand above the text."""
        block = self._block(files) if self.is_inline else None
        return 0 if block is None else files.texts[self.file].count("\n", 0, block.start)

    def _block(self, files: OverlayFiles) -> BlockText | None:
        found = items(yamltext.child(files.kustomization_tree, self.field))
        node: Node | None = found[self.number] if self.number < len(found) else None
        if self.field != "patchesStrategicMerge":
            node = yamltext.child(node, "patch")
        return block_text(files.texts[self.file], node)


def patch_sources(files: OverlayFiles) -> list[PatchSource]:
    """Return the texts of patches in the order in which they are applied; a file that is named twice counts where it is last."""
    found: dict[tuple[str, int], PatchSource] = {}
    for source in _sources(files):
        key = (source.file, source.number if source.is_inline else -1)
        found.pop(key, None)
        found[key] = source
    return list(found.values())


def _sources(files: OverlayFiles) -> Iterator[PatchSource]:
    for field in _FIELDS:
        for number, item in enumerate(items(yamltext.child(files.kustomization_tree, field))):
            path = yamltext.scalar(item) if field == "patchesStrategicMerge" else yamltext.scalar(yamltext.child(item, "path"))
            is_inline = path is None or "\n" in path
            yield PatchSource(files.kustomization if is_inline else str(path), field, number, is_inline)


def whole_kustomization(files: OverlayFiles) -> PatchSource:
    """Return the kustomization itself as a text to edit."""
    return PatchSource(files.kustomization, "", 0, is_inline=False)
