"""mlops.env is read exactly as kustomize reads it, and an edit changes one value."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_launch.core.overlay.envfile import EnvFile
from mlops_launch.errors import LauncherError, UsageError

KEYS = st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True)
# Everything that may stand in a line; a carriage return only where kustomize would keep it.
VALUES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=("Cs",)), max_size=12)
OTHER_LINES = st.one_of(st.just(""), st.just("   "), VALUES.map(lambda text: f"# {text}"), VALUES.map(lambda text: f"  #{text}"))


@st.composite
def env_texts(draw: st.DrawFn) -> str:
    """An env file with comments, empty lines, indentation, both line ends, with or without the last one."""
    keys = draw(st.lists(KEYS, unique=True, max_size=5))
    lines = [f"{draw(st.sampled_from(['', ' ', chr(9)]))}{key}={draw(VALUES)}" for key in keys]
    for line in draw(st.lists(OTHER_LINES, max_size=4)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return mark + newline.join(lines) + draw(st.sampled_from(["", newline]))


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("A=1\n", [(1, "A", "1")]),
        ("A=1", [(1, "A", "1")]),
        ("# A=1\n\n  # B=2\n  C=3\n", [(4, "C", "3")]),
        ('A="1"\n', [(1, "A", '"1"')]),
        ("export A=1\n", [(1, "export A", "1")]),
        ("A = 1 \n", [(1, "A ", " 1 ")]),
        ("A=1 # one\n", [(1, "A", "1 # one")]),
        ("A=b=c\n", [(1, "A", "b=c")]),
        ("A=\nB\n", [(1, "A", ""), (2, "B", "")]),
        ("=1\n", []),
        ("A=1\r\nB=2\r\n", [(1, "A", "1"), (2, "B", "2")]),
        ("A=1\r\r\n", [(1, "A", "1\r")]),
        ("\ufeffA=1\n\ufeffB=2\n", [(1, "A", "1"), (2, "\ufeffB", "2")]),
        ("\x1cA=1\n", [(1, "\x1cA", "1")]),
        ("A=1\nA=2\n", [(1, "A", "1"), (2, "A", "2")]),
        ("", []),
    ],
)
def test_reads_as_kustomize_reads(text: str, entries: list[tuple[int, str, str]]) -> None:
    assert [(entry.line, entry.key, entry.value) for entry in EnvFile(text).entries] == entries


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("A=1\nB=2\n", "A=1\nB=x y\n"),
        ("# first\r\nB=2\r\n", "# first\r\nB=x y\r\n"),
        ("  B=\n", "  B=x y\n"),
        ("B\n", "B=x y\n"),
        ("A=1\n", "A=1\nB=x y\n"),
        ("A=1", "A=1\nB=x y\n"),
        ("A=1\r\n", "A=1\r\nB=x y\r\n"),
        ("", "B=x y\n"),
    ],
)
def test_sets_one_value(text: str, edited: str) -> None:
    assert EnvFile(text).with_value("B", "x y").text == edited


@given(env_texts(), KEYS, VALUES)
def test_an_edit_changes_that_value_and_no_other_byte(text: str, key: str, value: str) -> None:
    file = EnvFile(text)
    edited = file.with_value(key, value)
    assert edited.values == {**file.values, key: value}
    entry = file.entry(key)
    if entry is None:
        assert edited.text.startswith(text)
    else:
        assert edited.text == text[: entry.start] + value + text[entry.start + len(entry.value) :]
    assert edited.with_value(key, value).text == edited.text


@given(env_texts(), KEYS, VALUES, VALUES)
def test_an_edit_can_be_taken_back(text: str, key: str, value: str, other: str) -> None:
    file = EnvFile(text).with_value(key, value)
    assume("\r" not in value)
    assert file.with_value(key, other).with_value(key, value).text == file.text


@pytest.mark.parametrize("key", ["", "2ND", "A B", "A-B", "export A"])
def test_refuses_what_is_no_name(key: str) -> None:
    with pytest.raises(UsageError, match="not the name of a variable"):
        EnvFile("").with_value(key, "1")


@pytest.mark.parametrize("value", ["a\nb", "a\r", "a\0"])
def test_refuses_a_value_of_two_lines(value: str) -> None:
    with pytest.raises(UsageError, match="must be one line"):
        EnvFile("").with_value("A", value)


def test_refuses_to_choose_between_duplicates() -> None:
    with pytest.raises(LauncherError) as caught:
        EnvFile("A=1\nB=2\nA=3\n").with_value("A", "4")
    assert (caught.value.message, caught.value.hint) == ("`A` is there twice, on lines: 1, 3", "remove one of them")
