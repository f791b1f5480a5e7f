"""A value is set in YAML text: the data change there and nowhere else, and so do the bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.yamledit import YamlText
from mlops_launch.core.path import Named, Path
from mlops_launch.errors import LauncherError

LIMITS = ("spec", "containers", Named("worker"), "resources", "limits")


@pytest.mark.parametrize(
    ("before", "path", "value", "after"),
    [
        pytest.param("a: 1  # one\nb: 2\n", ("a",), 5, "a: 5  # one\nb: 2\n", id="a number, its comment stays"),
        pytest.param("a: 'x'\n", ("a",), "it's", "a: 'it''s'\n", id="single quotes stay"),
        pytest.param('a: "4"\n', ("a",), "16", 'a: "16"\n', id="double quotes stay"),
        pytest.param("a: 500m\n", ("a",), "4", 'a: "4"\n', id="a text that would read as a number gets quotes"),
        pytest.param("a: x\n", ("a",), "yes", 'a: "yes"\n', id="so does one that would read as a truth value"),
        pytest.param("a: x\n", ("a",), "1e3", 'a: "1e3"\n', id="and one that would read as a float"),
        pytest.param('a: "1000"\n', ("a",), 1234, "a: 1234\n", id="a number in quotes becomes a number"),
        pytest.param("a: <User ID>\n", ("a",), 1234, "a: 1234\n", id="a placeholder becomes a number"),
        pytest.param("a:\nb: 2\n", ("a",), 1, "a: 1\nb: 2\n", id="an empty value"),
        pytest.param("a: 1\n\n# about b\nb: 2\n", ("c",), 3, "a: 1\n\n# about b\nb: 2\nc: 3\n", id="a new key goes to the end"),
        pytest.param("a:\n  b: 1\n  # more\nc: 2\n", ("a", "d"), 3, "a:\n  b: 1\n  d: 3\n  # more\nc: 2\n", id="a new key below"),
        pytest.param("a: {b: 1}\n", ("a", "c"), 2, "a: {b: 1, c: 2}\n", id="a new key in braces"),
        pytest.param("a: {}\n", ("a", "c", "d"), "x", "a: {c: {d: x}}\n", id="new keys in empty braces"),
        pytest.param("a: 1", ("b",), 2, "a: 1\nb: 2", id="no line end at the end"),
        pytest.param("a: 1\r\n", ("b",), 2, "a: 1\r\nb: 2\r\n", id="Windows line ends"),
        pytest.param("", ("a", "b"), 1, "a:\n  b: 1\n", id="an empty file"),
        pytest.param("kind: K\nresources:\n- x\n", ("namespace",), "ns", "kind: K\nnamespace: ns\nresources:\n- x\n", id="namespace"),
        pytest.param(
            "spec:\n  # the job\n  mpiReplicaSpecs: {}\n",
            ("spec", "slotsPerWorker"),
            2,
            "spec:\n  slotsPerWorker: 2\n  # the job\n  mpiReplicaSpecs: {}\n",
            id="slotsPerWorker goes in front of the roles and their comment",
        ),
        pytest.param(
            "spec:\n  containers:\n  - name: worker\n    resources:\n      limits:\n        cpu: 4\n",
            (*LIMITS, "nvidia.com/gpu"),
            4,
            "spec:\n  containers:\n  - name: worker\n    resources:\n      limits:\n        cpu: 4\n        nvidia.com/gpu: 4\n",
            id="a missing GPU count",
        ),
        pytest.param(
            "spec:\n  containers:\n  - name: sidecar\n",
            (*LIMITS, "cpu"),
            "4",
            'spec:\n  containers:\n  - name: sidecar\n  - name: worker\n    resources:\n      limits:\n        cpu: "4"\n',
            id="a missing container",
        ),
        pytest.param(
            "spec:\n  containers:\n  - name: worker\n",
            ("spec", "securityContext", "runAsUser"),
            7,
            "spec:\n  securityContext:\n    runAsUser: 7\n  containers:\n  - name: worker\n",
            id="a missing securityContext goes in front of the containers",
        ),
    ],
)
def test_sets_a_value_in_place(before: str, path: Path, value: int | str, after: str) -> None:
    assert YamlText(before).with_value(path, value).text == after
    assert YamlText(after).get(path) == value
    assert YamlText(after).with_value(path, value).text == after


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        pytest.param("a: &x\n  b: 1\nc: *x\n", ("a", "b"), "cannot set in place: a.b", id="an alias would change too"),
        pytest.param("a: |\n  text\n", ("a",), "cannot set in place, line 1", id="a block text"),
        pytest.param("a: {b: 1}\n", ("a",), "holds more than one value: a", id="a mapping"),
        pytest.param("a: 1\n", ("a", "b"), "not a mapping: a", id="below a number"),
        pytest.param("a: {}\n", ("a", Named("x"), "b"), "not a list: a", id="an item of a mapping"),
        pytest.param("a: []\n", ("a", Named("x"), "b"), "cannot add to a list in brackets: [name=x].b", id="a list in brackets"),
        pytest.param("a: [1\nb: 2\n", ("b",), "not valid YAML in line 2, column 2: expected ',' or ']', but got ':'", id="no YAML"),
        pytest.param("a: 1\na: 2\n", ("a",), "not valid YAML in line 2, column 1: the key of line 1 is there again: a", id="a key twice"),
    ],
)
def test_refuses_what_it_cannot_set_safely(text: str, path: Path, message: str) -> None:
    with pytest.raises(LauncherError) as caught:
        YamlText(text).with_value(path, 5)
    assert caught.value.message == message


NAMES = st.sampled_from(["cpu", "memory", "runAsUser", "replicas", "nvidia.com/gpu", "limits", "securityContext", "namespace"])
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=8)
SCALARS = st.one_of(st.integers(-5, 5000), TEXTS)
COMMENTS = st.sampled_from(["", " # one", "  # <User ID>", " # a: b # c"])


@st.composite
def yaml_texts(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """Lines of a mapping with comments, quotes and blank lines as people leave them."""
    lines = []
    for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=4)):
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["# about it", "", f"# {name}: 3"])))
        shape = draw(st.sampled_from(["plain", "quoted", "flow", "empty", "nested"] if depth < 2 else ["plain", "quoted"]))
        comment = draw(COMMENTS)
        if shape == "nested":
            indent = draw(st.sampled_from(["  ", "    "]))
            lines += [f"{name}:{comment}", *(indent + line if line else "" for line in draw(yaml_texts(depth + 1)))]
        elif shape == "flow":
            lines.append(f"{name}: {{cpu: 1, memory: '8Gi'}}{comment}")
        elif shape == "quoted":
            text = draw(TEXTS).replace("'", "''")
            lines.append(f"{name}: '{text}'{comment}")
        else:
            number = draw(st.integers(0, 9))
            lines.append(f"{name}:{comment}" if shape == "empty" else f"{name}: {number}{comment}")
    return lines


def places(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [path, *(place for key, value in data.items() for place in places(value, (*path, key)))] if isinstance(data, dict) else []


def with_value(data: Any, path: tuple[str, ...], value: int | str) -> dict[str, Any]:
    rest = with_value((data or {}).get(path[0]), path[1:], value) if path[1:] else value
    return {**(data or {}), path[0]: rest}


@given(yaml_texts().map("\n".join), st.sampled_from(["", "\n", "\n# end\n"]), st.data(), SCALARS)
@settings(deadline=None)
def test_an_edit_changes_one_value_and_keeps_every_other_line(body: str, end: str, data: st.DataObject, value: int | str) -> None:
    text = body + end
    loaded = yamltext.load(text)
    path = (*data.draw(st.sampled_from(places(loaded))), data.draw(NAMES))
    if isinstance(YamlText(text).get(path), dict):
        return
    edited = YamlText(text).with_value(path, value).text
    assert yamltext.load(edited) == with_value(loaded, path, value)
    assert YamlText(edited).with_value(path, value).text == edited
    comments = [line for line in text.splitlines() if line.strip().startswith("#") or not line.strip()]
    assert [line for line in edited.splitlines() if line.strip().startswith("#") or not line.strip()] == comments
    changed = [line for line in text.splitlines() if line not in edited.splitlines()]
    assert len(changed) <= 1


@given(number=st.integers(0, 4000), odd=st.sampled_from(["0{}", "0o{}", "+{}", "0x{:X}", "{}.0"]))
def test_a_number_that_kustomize_reads_otherwise_is_written_in_plain_digits(number: int, odd: str) -> None:
    text = f"spec:\n  # how many\n  replicas: {odd.format(number)} # here\n"
    edited = YamlText(text).with_value(("spec", "replicas"), number).text
    assert edited == f"spec:\n  # how many\n  replicas: {number} # here\n"
    assert YamlText(edited).with_value(("spec", "replicas"), number).text == edited
