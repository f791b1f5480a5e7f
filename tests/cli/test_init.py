"""`init` unpacks the model package, or leaves the folder as it was."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.commands.overlay import init
from mlops_launch.commands.overlay.init import MANIFEST, unpack
from tests.cli.conftest import ROOT, Call, Ended, content

NEXT = "\nnext:\n  mlops-launch check {0}/quickstart/k8s/mlops/multi-node\n  mlops-launch run --local {0}/quickstart/k8s/mlops/multi-node\n"


def package() -> dict[str, bytes]:
    """The checkout's own files, without caches."""
    parts = ("quickstart", "common", "models", "k8s")
    found = {f"{part}/{name}": text for part in parts for name, text in content(ROOT / part).items()}
    return {name: text for name, text in found.items() if "__pycache__" not in name}


def unpacked(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but for the list of what was unpacked."""
    return {name: text for name, text in content(folder).items() if name != MANIFEST}


@pytest.mark.parametrize("existing", [False, True])
def test_unpacks_into_a_new_or_empty_folder(call: Call, existing: bool) -> None:
    if existing:
        Path("mine").mkdir()
    assert call("init", "mine") == Ended(0, "mine/quickstart\nmine/common\nmine/models\nmine/k8s\n", NEXT.format("mine"))
    assert unpacked(Path("mine")) == package()
    sums = {name: sha256(text).hexdigest() for name, text in package().items()}
    assert json.loads(Path("mine", MANIFEST).read_text()) == {"schema": 1, "files": sums}
    assert call("check", "mine/quickstart/k8s/mlops/multi-node").exit_code == 0


def test_scripts_can_be_run(call: Call) -> None:
    call("init", "mine")
    scripts = list(Path("mine/quickstart").glob("*.sh"))
    assert scripts and all(script.stat().st_mode & 0o111 == 0o111 for script in scripts)


def test_refuses_a_folder_with_content(call: Call) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine\n")
    assert call("init", "mine") == Ended(
        2,
        "",
        "Error: the folder is not empty: mine\n\nhint: give another one; `--upgrade` brings files that you have not edited "
        "to this version, `--force` writes every file\n",
    )
    assert content(Path("mine")) == {"notes.txt": b"mine\n"}


def test_force_writes_every_file_and_keeps_every_edit(call: Call) -> None:
    call("init", "mine")
    env = "quickstart/k8s/mlops/multi-node/mlops.env"
    for text in ("MINE=1\n", "MINE=2\n"):
        Path("mine", env).write_text(text)
        Path("mine/quickstart/own.env").write_text("OWN=1\n")
        Path("mine/notes.txt").write_text("mine\n")
        number = "-2" if text == "MINE=2\n" else ""
        assert call("init", "mine", "--force") == Ended(
            0,
            "mine/quickstart\nmine/common\nmine/models\nmine/k8s\n",
            f"your version of mine/{env} is kept: mine/{env}.mine{number}\n" + NEXT.format("mine"),
        )
    mine = {f"{env}.mine": b"MINE=1\n", f"{env}.mine-2": b"MINE=2\n", "quickstart/own.env": b"OWN=1\n", "notes.txt": b"mine\n"}
    assert unpacked(Path("mine")) == {**package(), **mine}


def test_force_in_a_folder_of_which_nothing_is_known_keeps_what_differs(call: Call) -> None:
    Path("mine/quickstart").mkdir(parents=True)
    Path("mine/quickstart/README.md").write_text("mine\n")
    there = "quickstart/README.md" in package()
    assert call("init", "mine", "--force").exit_code == 0
    assert Path("mine/quickstart", "README.md.mine" if there else "README.md").read_text() == "mine\n"


def test_what_to_do_next_can_be_pasted(call: Call) -> None:
    ended = call("init", "my first training")
    assert "  mlops-launch check 'my first training/quickstart/k8s/mlops/multi-node'\n" in ended.stderr


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_upgrade_takes_what_is_new_and_loses_no_edit(tmp_path: Path, data: st.DataObject) -> None:
    # A small package in two versions: each file is in the old one, the new one or both, the same or changed.
    names = [f"{part}/{name}" for part in init.PARTS for name in ("a", "b/c.py")]
    texts = st.sampled_from([None, b"one\n", b"two\n"])
    old = {name: data.draw(texts) for name in names}
    new = {name: data.draw(texts) for name in names}
    edits = data.draw(
        st.dictionaries(st.sampled_from([*names, "quickstart/own", "notes"]), st.sampled_from([b"one\n", b"two\n", b"mine\n"]))
    )
    for folder in ("package", "mine"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(init, "own_part", lambda part: tmp_path / "package" / part)
        for version in (old, new):
            shutil.rmtree(tmp_path / "package", ignore_errors=True)
            for name, text in version.items():
                (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
                if text is not None:
                    (tmp_path / "package" / name).write_bytes(text)
            if version is old:
                unpack(tmp_path / "mine")
                for name, text in edits.items():
                    (tmp_path / "mine" / name).write_bytes(text)
        done = unpack(tmp_path / "mine", upgrade=True)
        again = unpack(tmp_path / "mine", upgrade=True)
    found = unpacked(tmp_path / "mine")
    for name in {*names, *edits}:
        was, now, mine = old.get(name), new.get(name), edits.get(name, old.get(name))
        edited = mine != was
        assert found.get(name) == (mine if edited else now)
        beside = now if edited and now not in (None, was, mine) else None
        assert (found.get(f"{name}.new"), done.kept.get(name)) == (beside, f"{name}.new" if beside is not None else None)
    assert (again.written, again.removed, again.kept) == ([], [], {})


def test_upgrade_names_what_it_did(call: Call) -> None:
    call("init", "mine")
    assert call("init", "mine", "--upgrade") == Ended(0, "", "nothing to upgrade in: mine\n")
    env = "quickstart/k8s/mlops/multi-node/mlops.env"
    Path("mine", MANIFEST).unlink()  # as one that an older version unpacked
    Path("mine", env).write_text("MINE=1\n")
    assert call("init", "mine", "--upgrade") == Ended(0, f"edited mine/{env}, the new version is mine/{env}.new\n", "")
    assert unpacked(Path("mine")) == {**package(), env: b"MINE=1\n", f"{env}.new": package()[env]}


def test_upgrade_brings_a_part_that_an_older_version_did_not_have(call: Call) -> None:
    call("init", "mine")
    shutil.rmtree("mine/k8s")
    ended = call("init", "mine", "--upgrade")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert all(line.startswith("written mine/k8s/") for line in ended.stdout.splitlines())
    assert unpacked(Path("mine")) == package()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 1}', '{"files": {"../../x": "1", "quickstart/../../x": ""}}'])
def test_a_damaged_list_makes_no_file_ours(call: Call, text: str) -> None:
    call("init", "mine")
    Path("mine", MANIFEST).write_text(text)
    Path("x").write_bytes(b"")
    assert call("init", "mine", "--upgrade") == Ended(0, "", "nothing to upgrade in: mine\n")
    assert Path("x").exists() and unpacked(Path("mine")) == package()


def test_nothing_to_upgrade_is_a_wrong_call(call: Call) -> None:
    for words in (("none", "--upgrade"), ("none", "--upgrade", "--force")):
        assert call("init", *words).exit_code == 2
    assert not Path("none").exists()


def test_refuses_a_file(call: Call) -> None:
    Path("mine").write_text("")
    assert call("init", "mine") == Ended(2, "", "Error: not a folder: mine\n\nhint: give a folder that is empty or does not exist\n")


def test_nothing_is_left_when_copying_fails(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(Path())

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "mine")

    monkeypatch.setattr("mlops_launch.commands.overlay.init.shutil.copytree", fail)
    assert call("init", "mine") == Ended(
        1, "", "Error: No space left on device: mine\n\nhint: make room, or name a place on another disk\n"
    )
    assert content(Path()) == before and not Path("mine").exists()
