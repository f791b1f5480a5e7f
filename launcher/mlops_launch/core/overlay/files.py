"""The files of an overlay as a value: texts by name, and which of them are the env files and the patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ruamel.yaml.nodes import Node, SequenceNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.envfile import Entry, EnvFile
from mlops_launch.core.path import Path
from mlops_launch.core.workload import kinds

ENV_FILE = "mlops.env"


@dataclass(frozen=True)
class OverlayFiles:
    """The texts of an overlay.

    Args:
        folder: the overlay's folder, for messages.
        kustomization: the name of the kustomization among `texts`.
        texts: text by path relative to the folder, with `/`; line ends as they are in the file.
    """

    folder: str
    kustomization: str
    texts: Mapping[str, str] = field(repr=False)

    def with_texts(self, changed: Mapping[str, str]) -> OverlayFiles:
        """Return the overlay with other texts."""
        return replace(self, texts={**self.texts, **changed})

    @cached_property
    def trees(self) -> Mapping[str, list[Node]]:
        """The YAML documents by file; a file with a syntax error is not there (`syntax_errors`)."""
        return {name: tree for name, tree in self._parsed.items() if isinstance(tree, list)}

    @cached_property
    def syntax_errors(self) -> Mapping[str, yamltext.YamlSyntaxError]:
        """The YAML files that do not parse, with the error."""
        return {name: tree for name, tree in self._parsed.items() if isinstance(tree, yamltext.YamlSyntaxError)}

    @cached_property
    def _parsed(self) -> dict[str, list[Node] | yamltext.YamlSyntaxError]:
        parsed: dict[str, list[Node] | yamltext.YamlSyntaxError] = {}
        for name, text in self.texts.items():
            if name.endswith((".yaml", ".yml")) or name == self.kustomization:
                try:
                    parsed[name] = yamltext.parse_all(text)
                except yamltext.YamlSyntaxError as error:
                    parsed[name] = error
        return parsed

    @property
    def kustomization_tree(self) -> Node | None:
        """The kustomization as nodes, or None when it does not parse."""
        return next(iter(self.trees.get(self.kustomization, [])), None)

    @cached_property
    def env_file_names(self) -> tuple[str, ...]:
        """The env files that the kustomization's ConfigMap generators name."""
        generators = _items(yamltext.child(self.kustomization_tree, "configMapGenerator"))
        names = [yamltext.scalar(item) for generator in generators for item in _items(yamltext.child(generator, "envs"))]
        return tuple(name for name in names if name is not None)

    @cached_property
    def env_files(self) -> Mapping[str, EnvFile]:
        """The env files that are there; mlops.env when the kustomization names none."""
        return {name: EnvFile(self.texts[name]) for name in self.env_file_names or [ENV_FILE] if name in self.texts}

    @cached_property
    def patch_names(self) -> tuple[str, ...]:
        """The patch files that the kustomization names, in order; those that are missing too."""
        paths = [yamltext.scalar(yamltext.child(patch, "path")) for patch in _items(yamltext.child(self.kustomization_tree, "patches"))]
        return tuple(path for path in paths if path is not None)

    @cached_property
    def workload_patch(self) -> tuple[str, Node] | None:
        """The name and the tree of the first patch file that holds a workload."""
        for name in self.patch_names:
            for tree in self.trees.get(name, []):
                if yamltext.scalar(yamltext.child(tree, "kind")) in kinds.names():
                    return name, tree
        return None

    def env(self, key: str) -> tuple[str, Entry] | None:
        """Return the file and the entry that give `key` its value: the last file that has it."""
        found = [(name, entry) for name, file in self.env_files.items() if (entry := file.entry(key)) is not None]
        return found[-1] if found else None

    def patch_place(self, path: yamltext.Path) -> tuple[str | None, int | None]:
        """Return the workload patch's name and the line of what it has along `path`."""
        if self.workload_patch is None:
            return None, None
        name, tree = self.workload_patch
        return name, yamltext.line_of(tree, path)

    def data(self, name: str) -> Any:
        """Return a YAML file's first document as plain data, or None when it does not parse."""
        try:
            return yamltext.load(self.texts[name])
        except yamltext.YamlSyntaxError:
            return None


def _items(node: Node | None) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value


def pod_path(kind: str, role: str) -> Path:
    """Return the path of a role's pod spec in a workload's manifest."""
    return kinds.lookup(kind).pod_path(role)
