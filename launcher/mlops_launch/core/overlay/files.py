"""The files of an overlay as a value: texts by name, and which of them are the env files and the patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ruamel.yaml.nodes import Node

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.envfile import Entry, EnvFile
from mlops_launch.core.overlay.patches import OwnPatch, own_patches
from mlops_launch.core.overlay.reach import Reach, env_names, items, pairs, patch_items, reach_of, texts
from mlops_launch.core.path import Path
from mlops_launch.core.workload import kinds
from mlops_launch.core.workload.model import TRAINING_CONTAINERS

ENV_FILE = "mlops.env"
# The base's containers read it.
JOB_CONFIG_MAP = "mlops-env"
# A longer one is not written by hand; parsing it for places would take seconds.
_LONGEST_YAML = 1 << 18


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
            if name == self.kustomization or (name in self.reach.yaml and len(text) <= _LONGEST_YAML):
                try:
                    parsed[name] = yamltext.parse_all(text)
                except yamltext.YamlSyntaxError as error:
                    parsed[name] = error
        return parsed

    @property
    def kustomization_tree(self) -> Node | None:
        """The kustomization as nodes, or None when it does not parse."""
        try:
            return yamltext.parse(self.texts.get(self.kustomization, ""))
        except yamltext.YamlSyntaxError:
            return None

    @cached_property
    def reach(self) -> Reach:
        """The files of the folder that the kustomization names."""
        return reach_of(self.kustomization_tree)

    @property
    def folders(self) -> tuple[str, ...]:
        """What the kustomization names that is not a file of its own: components, which change last, and bases."""
        named = (path for field in ("components", "resources", "bases") for path in texts(yamltext.child(self.kustomization_tree, field)))
        return tuple(path for path in named if not path.endswith((".yaml", ".yml", ".json")))

    @cached_property
    def job_config_maps(self) -> frozenset[str]:
        """The names, without hash, of the ConfigMaps whose variables the job reads: the package's, and what the patches add."""
        named = {JOB_CONFIG_MAP}
        for tree in (tree for trees in self.trees.values() for tree in trees):
            if yamltext.scalar(yamltext.child(tree, "kind")) in kinds.names():
                named.update(config_map_references(tree))
        return frozenset(named)

    @cached_property
    def env_file_names(self) -> tuple[str, ...]:
        """The env files of the job's ConfigMaps; of all ConfigMaps when the kustomization generates none of the job's."""
        generators = items(yamltext.child(self.kustomization_tree, "configMapGenerator"))
        own = [each for each in generators if yamltext.scalar(yamltext.child(each, "name")) in self.job_config_maps]
        return tuple(name for each in own or generators for name in env_names(each))

    @cached_property
    def env_files(self) -> Mapping[str, EnvFile]:
        """The env files that are there; mlops.env when the kustomization names none."""
        return {name: EnvFile(self.texts[name]) for name in self.env_file_names or [ENV_FILE] if name in self.texts}

    @cached_property
    def own_patches(self) -> tuple[OwnPatch, ...]:
        """The patches, in files and inline, in the order of their application."""
        return own_patches(self)

    @cached_property
    def patch_names(self) -> tuple[str, ...]:
        """The patch files that the kustomization names, in the order of their application; those that are missing too."""
        return tuple(item.path for item in patch_items(self.kustomization_tree) if item.path is not None)

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

    def patch_place(self, path: Path) -> tuple[str | None, int | None]:
        """Return the file and line of what the overlay's patches have along `path`: the last patch with all of it, else with the most."""
        best: tuple[int, str, int | None] | None = None
        for patch in self.own_patches:
            for tree in patch.documents:
                if yamltext.scalar(yamltext.child(tree, "kind")) in kinds.names():
                    depth, line = yamltext.depth_of(tree, path), yamltext.line_of(tree, path)
                    if best is None or depth > best[0] or depth == best[0] == len(path):
                        best = depth, patch.file, patch.line if line is None else line + patch.offset
        return best[1:] if best else (None, None)

    def data(self, name: str) -> Any:
        """Return a YAML file's first document as plain data, or None when it does not parse."""
        try:
            return yamltext.load(self.texts[name])
        except yamltext.YamlSyntaxError:
            return None


def config_map_references(node: Node | None) -> Iterator[str]:
    """Yield the names of the ConfigMaps that the containers which train take variables from in a patch; a sidecar's are its own."""
    if yamltext.child(node, "envFrom") is not None and yamltext.scalar(yamltext.child(node, "name")) not in (None, *TRAINING_CONTAINERS):
        return
    for key, value in pairs(node):
        if key.value == "envFrom":
            names = (yamltext.scalar(yamltext.find(source, ("configMapRef", "name"))) for source in items(value))
            yield from (name for name in names if name)
        else:
            yield from config_map_references(value)
    for item in items(node):
        yield from config_map_references(item)


def pod_path(kind: str, role: str) -> Path:
    """Return the path of a role's pod spec in a workload's manifest."""
    return kinds.lookup(kind).pod_path(role)
