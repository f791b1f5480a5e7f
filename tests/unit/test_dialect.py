"""One YAML dialect, kustomize's: what it prints, what it accepts, and which files it reads."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_launch.clients.process import Processes
from mlops_launch.commands.overlay.files import read_files
from mlops_launch.commands.overlay.render import parse_objects, render_text
from mlops_launch.core.overlay import yamltree
from mlops_launch.core.overlay.dialect import refusal
from mlops_launch.core.overlay.envfile import LONGEST_LINE, EnvFile
from mlops_launch.core.overlay.innertext import inner_text
from mlops_launch.core.overlay.yamledit import YamlText
from mlops_launch.errors import LauncherError

KUSTOMIZATION = "configMapGenerator:\n- name: mlops-env\n  envs: [mlops.env]\ngeneratorOptions: {disableNameSuffixHash: true}\n"
# What YAML 1.1 or 1.2 takes for something else than a text.
ODD = (
    "= << ~ null Null yes no on off y n true TRUE false 0 017 0o17 0x1F 1_000 1:30 12:30:45 1e3 .5 -.inf .nan 2026-01-01 "
    f"{'7' * 400} 0{'9' * 400} {'7' * 5000} {'7' * 40} 0x{'f' * 20} 1e400 "
    "2026-01-01T00:00:00Z - ? : & * ! | > % @ ` {} [] {a} [a] 'a' \"a\" a:b a#b #a -a ?a"
).split()
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0", exclude_categories=["Cc", "Cs"]), max_size=12)


def rendered(folder: Path, text: str) -> dict[str, str]:
    """The ConfigMap that kubectl generates from an env file, as the launcher reads it."""
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
    (folder / "mlops.env").write_bytes(text.encode())
    (item,) = parse_objects(render_text(folder, Processes()))
    return dict(item["data"])


@given(values=st.lists(TEXT, min_size=40, max_size=60))
@example(values=ODD)
@settings(max_examples=8, deadline=None)
def test_a_value_is_what_the_env_file_has(values: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    text = "".join(f"K{number}={value}\n" for number, value in enumerate(values))
    assert rendered(tmp_path_factory.mktemp("overlay"), text) == EnvFile(text).values == {f"K{n}": value for n, value in enumerate(values)}


@pytest.mark.parametrize(("length", "keys"), [(LONGEST_LINE, {"A", "LONG", "Z"}), (LONGEST_LINE + 1, {"A"})])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_line_that_is_too_long_ends_the_file(length: int, keys: set[str], letter: str, tmp_path: Path) -> None:
    value = letter * ((length - len("LONG=")) // len(letter.encode()))
    text = f"A=1\nLONG={value}{'x' * (length - len(f'LONG={value}'.encode()))}\nZ=2\n"
    assert set(rendered(tmp_path, text)) == set(EnvFile(text).values) == keys


@given(
    spaces=st.lists(st.sampled_from(["\t", " \t", "\t\t ", " "]), min_size=6, max_size=6),
    value=st.sampled_from(["2", "'2\t3'", '"2\t3"', "[2,\t3]", "{a:\t2}", "2 # a\tb"]),
)
@settings(max_examples=60, deadline=None)
def test_tabs_separate_as_spaces_do(spaces: list[str], value: str) -> None:
    a, b, c, d, e, f = spaces
    text = f"spec:{a}# one\n  replicas:{b}{value}{c}# two\n  list:\n  -{d}a\n  -{e}name:{f}b\n"
    plain = "spec: # one\n  replicas: VALUE # two\n  list:\n  - a\n  - name: b\n"
    written = value.replace("\t", " ") if value[0] in "[{" else value
    assert yamltree.load(text) == yamltree.load(plain.replace("VALUE", written))
    assert [node.start_mark.line for node in [yamltree.find(yamltree.parse(text), ("spec", "replicas"))] if node] == [1]


@pytest.mark.parametrize("text", ["spec:\n\tcontainers: []\n", "a: [1\n", "{% if gpu %}\n"])
def test_what_kubectl_refuses_is_refused(text: str) -> None:
    with pytest.raises(yamltree.YamlSyntaxError):
        yamltree.parse(text)


def test_a_merge_key_brings_its_keys() -> None:
    node = yamltree.parse("a: &one {x: 1, y: 2}\nb: &two {z: 3}\nc:\n  <<: [*one, *two]\n  x: 5\n")
    assert [yamltree.scalar(yamltree.find(node, ("c", key))) for key in "xyzw"] == ["5", "2", "3", None]


@pytest.mark.parametrize("text", ["a: [", "a: &x\n  b: *y\n", "- 1\n", "just text", "%", "a: 1\n---\n- b\n"])
def test_what_is_no_list_of_objects_is_one_line(text: str) -> None:
    with pytest.raises(LauncherError) as caught:
        parse_objects(text)
    assert "\n" not in caught.value.message


def test_only_what_the_kustomization_names_is_read(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [../base, job.yaml, https://example.com/x.yaml]\n"
        "configMapGenerator:\n- name: mlops-env\n  envs: [.env]\n  env: more.env\n- name: files\n  files: [blob=model.bin]\n"
        "patches:\n- path: patches/a.yaml\n- patch: |-\n    kind: MPIJob\nreplacements:\n- path: replacements.yaml\n"
    )
    named = ["job.yaml", ".env", "more.env", "patches/a.yaml", "replacements.yaml"]
    (tmp_path / "patches").mkdir()
    for name in [*named, "draft.yaml", "old.env", "notes.yml", "mlops.env"]:
        (tmp_path / name).write_text("")
    (tmp_path / "model.bin").write_bytes(b"\xff")
    (tmp_path / "old.env").write_bytes(b"\xff")
    files = read_files(tmp_path)
    assert set(files.texts) == {"kustomization.yaml", *named}
    assert files.reach.other == ("model.bin",)
    assert files.env_file_names == (".env", "more.env")


DOTS = st.lists(st.sampled_from(["./", ".//", "there/../", "a/b/../../"]), max_size=4).map("".join)
NAMES = st.sampled_from(["job", "job.yaml", "job.patch", "JOB.YAML", "sub/job.yaml.txt", ".job.json"])


@given(
    dots=st.lists(DOTS, min_size=3, max_size=3), name=NAMES, field=st.sampled_from(["patches", "patchesStrategicMerge", "patchesJson6902"])
)
@settings(max_examples=30, deadline=None)
def test_a_path_is_read_however_it_is_written(dots: list[str], name: str, field: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("overlay")
    (folder / "sub").mkdir()
    item = f"{dots[0]}{name}" if field == "patchesStrategicMerge" else f"path: {dots[0]}{name}"
    generator = f"configMapGenerator:\n- name: mlops-env\n  envs: [{dots[1]}a.env]\n  files: [{dots[2]}model.bin]\n"
    (folder / "kustomization.yaml").write_text(f"{generator}{field}:\n- {item}\n")
    (folder / name).write_text("kind: Pod\n")
    (folder / "a.env").write_text("A=1\n")
    files = read_files(folder)
    assert files.texts.keys() == {"kustomization.yaml", name, "a.env"}
    assert [(patch.file, patch.key, len(patch.documents)) for patch in files.own_patches] == [(name, (field, 0), 1)]
    assert [*files.patch_names, *files.env_files, *files.reach.other] == [name, "a.env", "model.bin"]


@given(value=st.integers(0, 99), style=st.sampled_from(["block", "single", "double", "folded"]), note=TEXT)
@settings(max_examples=60, deadline=None)
def test_an_inner_text_is_replaced_in_its_own_style_or_not_at_all(value: int, style: str, note: str) -> None:
    def outer(number: int) -> str:
        text = json.dumps([{"op": "add", "path": "/spec/slotsPerWorker", "value": number, "note": note}], ensure_ascii=False)
        single, double = text.replace("'", "''"), json.dumps(text, ensure_ascii=False)
        written = {"block": f"|-\n    {text}", "single": f"'{single}'", "double": double, "folded": f">-\n    {text}"}[style]
        return f"before: 1 # one\npatch: {written}\nafter: 2 # two\n"

    node = yamltree.child(yamltree.parse(outer(value)), "patch")
    inner = inner_text(outer(value), node)
    assert inner is not None
    wanted = inner.content.replace(f'"value": {value},', '"value": 100,')
    assert wanted != inner.content
    try:
        assert inner.replaced(outer(value), wanted) == outer(100)
    except LauncherError as error:
        assert style == "folded", error


LAUGHS = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [*a]\n", "an alias inside its own anchor"),
        ("a: &a {b: {c: *a}}\n", "an alias inside its own anchor"),
        ("a: &a [x, x]\n" + LAUGHS, "too many aliases of aliases"),
        (f"a: {'[' * 3000}{']' * 3000}\n", "nested too deeply"),
        ("a: 1\n# \x1b[31m\n", "a control character: U+001B"),
    ],
    ids=["a list in itself", "a mapping in itself", "aliases of aliases", "brackets", "a control character"],
)  # fmt: skip
def test_what_nobody_can_walk_or_read_is_a_syntax_error(text: str, problem: str) -> None:
    with pytest.raises(yamltree.YamlSyntaxError) as caught:
        yamltree.load(text)
    assert caught.value.problem == problem


@pytest.mark.parametrize("value", [*ODD, ".", "._", "0x_", "2026-13-45", "!foo x", "!!int x"])
def test_a_value_of_any_form_is_read_and_stays_as_it_is(value: str) -> None:
    text = f"a: {value}\nb: 1\n"
    try:
        yamltree.parse(text)
    except yamltree.YamlSyntaxError:
        return
    assert YamlText(text).with_value(("b",), 2).text == f"a: {value}\nb: 2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", None),
        ("# %YAML 1.2\na: 100%\n", None),
        ("%YAML 1.2\n---\na: 1\n", ("", 1, 1)),
        ("a:\n-\tb: 1\n  c: 2\n", ("found character that cannot start any token", 2, 3)),
    ],
)
def test_what_kustomize_alone_refuses_has_its_line(text: str, expected: tuple[str, int, int] | None) -> None:
    found = refusal(text)
    assert found == expected if expected is None or found is None else found[1] == expected[1]


@pytest.mark.parametrize(
    ("generators", "patch", "expected"),
    [
        (["tensorboard-env", "mlops-env"], "", ("mlops-env.env",)),
        (["tensorboard-env", "mine"], "envFrom: [{configMapRef: {name: mine}}]", ("mine.env",)),
        (["mine"], "", ("mine.env",)),
    ],
)
def test_only_the_env_files_of_the_job_s_config_maps_are_judged(
    generators: list[str], patch: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    listed = "".join(f"- name: {name}\n  envs: [{name}.env]\n" for name in generators)
    (tmp_path / "kustomization.yaml").write_text(f"configMapGenerator:\n{listed}patches:\n- path: patch.yaml\n")
    (tmp_path / "patch.yaml").write_text(f"kind: Pod\nspec:\n  containers:\n  - name: training\n    {patch}\n")
    for name in generators:
        (tmp_path / f"{name}.env").write_text("")
    assert tuple(read_files(tmp_path).env_files) == expected
