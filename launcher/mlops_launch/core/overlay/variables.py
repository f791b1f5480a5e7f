"""Where an overlay's generators give a variable of the job its value, or could."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import CollectionNode, Node, ScalarNode, SequenceNode

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay import yamlwrite
from mlops_launch.core.overlay.envfile import EnvFile
from mlops_launch.core.overlay.files import ENV_FILE, OverlayFiles
from mlops_launch.core.overlay.places import Place
from mlops_launch.core.overlay.reach import env_names, items, texts
from mlops_launch.core.overlay.rendered import Source
from mlops_launch.errors import LauncherError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_./@+-]*")
_HASH = re.compile(r"-[a-z0-9]{10}")


@dataclass(frozen=True)
class EnvPlace:
    """A key of an env file, there or not there yet."""

    file: str
    key: str

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Implement `Place`."""
        return files.with_texts({self.file: EnvFile(files.texts[self.file]).with_value(self.key, str(value)).text})

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Implement `Place`."""
        entry = EnvFile(files.texts[self.file]).entry(self.key)
        return self.file, None if entry is None else entry.line

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Implement `Place`."""
        entry = EnvFile(files.texts[self.file]).entry(self.key)
        return entry is not None and entry.value == value


@dataclass(frozen=True)
class LiteralPlace:
    """A key among the `literals` of a generator of the kustomization, there or not there yet."""

    generator: int
    key: str

    def edited(self, files: OverlayFiles, value: int | str) -> OverlayFiles:
        """Implement `Place`."""
        text, there = files.texts[files.kustomization], self._item(files)
        word = f"{self.key}={value}"
        if there is not None:
            plain = there.style is None and _PLAIN.fullmatch(word)
            text = text[: there.start_mark.index] + (word if plain else _quoted(word, there.style)) + text[there.end_mark.index :]
            return self._checked(files, text)
        listed = self._list(files)
        if not isinstance(listed, SequenceNode) or listed.flow_style or not listed.value:
            raise self._error(files)
        last = listed.value[-1]
        end = text.find("\n", last.end_mark.index)
        end = len(text) if end < 0 else end
        start = text.rfind("\n", 0, last.start_mark.index) + 1
        dash = text[start : text.index("-", start)]
        line_end = yamlwrite.newline(text)
        at = end - 1 if text[end - 1 : end + 1] == "\r\n" else end
        line = word if _PLAIN.fullmatch(word) else _quoted(word, None)
        return self._checked(files, f"{text[:at]}{line_end}{dash}- {line}{text[at:]}")

    def shown(self, files: OverlayFiles) -> tuple[str, int | None]:
        """Implement `Place`."""
        node = self._item(files) or self._list(files)
        return files.kustomization, None if node is None else node.start_mark.line + 1

    def has(self, files: OverlayFiles, value: object) -> bool:
        """Implement `Place`."""
        node = self._item(files)
        return node is not None and str(node.value).partition("=")[2].strip("\"'") == value

    def _checked(self, files: OverlayFiles, text: str) -> OverlayFiles:
        edited = files.with_texts({files.kustomization: text})
        if files.kustomization in edited.syntax_errors:
            raise self._error(files)
        return edited

    def _error(self, files: OverlayFiles) -> LauncherError:
        return LauncherError(f"{files.kustomization}: cannot set in place: {self.key}", "edit the file by hand")

    def _list(self, files: OverlayFiles) -> Node | None:
        generators = items(yamltext.child(files.kustomization_tree, "configMapGenerator"))
        return yamltext.child(generators[self.generator], "literals")

    def _item(self, files: OverlayFiles) -> ScalarNode | None:
        listed = [item for item in items(self._list(files)) if isinstance(item, ScalarNode)]
        return next((item for item in listed if str(item.value).partition("=")[0] == self.key), None)


def _quoted(word: str, style: str | None) -> str:
    return yamlwrite.scalar(word, style if style in ("'", '"') else '"')


def variable_places(files: OverlayFiles, key: str, named: list[Source] | None) -> list[Place]:
    """Return the places of a variable in the generators of the ConfigMaps that the job reads: those that have it, then those that could.

    Args:
        files: the overlay's.
        key: the variable's name.
        named: the `envFrom` of the rendered container; None when it is not known.
    """
    there: list[Place] = []
    could: list[Place] = []
    for number, generator, own_key in _generators(files, key, named):
        literals, envs = yamltext.child(generator, "literals"), [name for name in env_names(generator) if name in files.texts]
        words = [(yamltext.scalar(item) or "").partition("=")[0] for item in items(literals)]
        if own_key in words:
            there.append(LiteralPlace(number, own_key))
        holding = [name for name in envs if EnvFile(files.texts[name]).entry(own_key) is not None]
        there.extend(EnvPlace(name, own_key) for name in reversed(holding))
        # kustomize refuses a key that one generator has twice.
        if not holding and own_key not in [*words, *(name for name, _ in _files(generator))]:
            could.extend(EnvPlace(name, own_key) for name in envs[:1])
            if not envs and isinstance(literals, CollectionNode):
                could.append(LiteralPlace(number, own_key))
    if not there and not could and not files.env_file_names and ENV_FILE in files.texts:
        could.append(EnvPlace(ENV_FILE, key))
    return [*there, *could]


def _generators(files: OverlayFiles, key: str, named: list[Source] | None) -> Iterator[tuple[int, Node, str]]:
    """Yield number, node and the key in it of the generators whose ConfigMaps the container reads; that which wins first."""
    generators = list(enumerate(items(yamltext.child(files.kustomization_tree, "configMapGenerator"))))
    if named is None:
        own = [each for each in generators if yamltext.scalar(yamltext.child(each[1], "name")) in files.job_config_maps]
        yield from ((number, generator, key) for number, generator in reversed(own or generators))
        return
    for source in reversed(named):
        if source.kind == "ConfigMap" and key.startswith(source.prefix):
            for number, generator in generators:
                if _is_from(source.name, yamltext.scalar(yamltext.child(generator, "name")) or ""):
                    yield number, generator, key[len(source.prefix) :]


def _is_from(rendered: str, name: str) -> bool:
    """Return whether a rendered name may be a generator's: kustomize puts prefix, suffix and hash around it."""
    return bool(name) and (rendered == name or name in _HASH.sub("", rendered))


def file_sources(files: OverlayFiles, named: list[Source]) -> Iterator[tuple[str, str]]:
    """Yield key and file of the variables whose value is a whole file's content, in the generators of the ConfigMaps named."""
    for _, generator, _ in _generators(files, "", named):
        yield from _files(generator)


def _files(generator: Node) -> Iterator[tuple[str, str]]:
    for word in texts(yamltext.child(generator, "files")):
        key, equals, file = word.partition("=")
        yield (key, file) if equals else (key.rpartition("/")[2], key)
