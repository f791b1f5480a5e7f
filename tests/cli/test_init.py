"""`init` unpacks the model package, or leaves the folder as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Call, Ended, content

NEXT = "\nnext:\n  mlops-launch check {0}/quickstart/k8s/mlops/multi-node\n  mlops-launch run --local {0}/quickstart/k8s/mlops/multi-node\n"


def package() -> dict[str, bytes]:
    """The checkout's own files, without caches."""
    parts = ("quickstart", "common", "models")
    found = {f"{part}/{name}": text for part in parts for name, text in content(ROOT / part).items()}
    return {name: text for name, text in found.items() if "__pycache__" not in name}


@pytest.mark.parametrize("existing", [False, True])
def test_unpacks_into_a_new_or_empty_folder(call: Call, existing: bool) -> None:
    if existing:
        Path("mine").mkdir()
    assert call("init", "mine") == Ended(0, "mine/quickstart\nmine/common\nmine/models\n", NEXT.format("mine"))
    assert content(Path("mine")) == package()
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
        "Error: the folder is not empty: mine\n\nhint: give another one, or `--force` to replace quickstart, common and models in it\n",
    )
    assert content(Path("mine")) == {"notes.txt": b"mine\n"}


def test_force_replaces_the_package_and_keeps_the_rest(call: Call) -> None:
    Path("mine/quickstart").mkdir(parents=True)
    Path("mine/quickstart/old.env").write_text("OLD=1\n")
    Path("mine/notes.txt").write_text("mine\n")
    assert call("init", "mine", "--force") == Ended(0, "mine/quickstart\nmine/common\nmine/models\n", NEXT.format("mine"))
    assert content(Path("mine")) == {**package(), "notes.txt": b"mine\n"}


def test_refuses_a_file(call: Call) -> None:
    Path("mine").write_text("")
    assert call("init", "mine") == Ended(2, "", "Error: not a folder: mine\n\nhint: give a folder that is empty or does not exist\n")


def test_nothing_is_left_when_copying_fails(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(Path())

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "mine")

    monkeypatch.setattr("mlops_launch.commands.overlay.init.shutil.copytree", fail)
    assert call("init", "mine") == Ended(1, "", "Error: No space left on device: mine\n")
    assert content(Path()) == before and not Path("mine").exists()
