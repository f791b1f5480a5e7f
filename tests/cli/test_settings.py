"""`set`, `check` and `run --local` know the models, settings and presets of the folder that an overlay lies in, a user's own too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlops_launch.commands.overlay.package import find_package, package_of
from tests.cli.conftest import ROOT, Call, Ended

OVERLAY = "quickstart/k8s/mlops/multi-node"
SINGLE_NODE = "quickstart/k8s/mlops/single-node"
ENV = Path(OVERLAY, "mlops.env")
PAGE = ROOT / "docs/reference/settings.md"

QUICK = '''"""A minute on any machine."""

OVERRIDES = {"epochs": 1, "global_batch": 24}
'''
MODEL = """from common.training import settings
from common.training.settings import setting


class Settings(settings.Settings):
    hidden_units: int = setting(32, "of the layer", above=0)
    global_batch: int = setting(60, "images in each step")
"""
TINY_PRESET = '"""Few units."""\n\nOVERRIDES = {"hidden_units": 4}\n'


@pytest.fixture
def package(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: what `init` writes, with a preset and a model of the user's own in it."""
    folder = tmp_path / "mine"
    assert call("init", str(folder)).exit_code == 0
    (folder / "models/resnet50v1_5/presets/quick.py").write_text(QUICK)
    (folder / "models/mlp/presets").mkdir(parents=True)
    (folder / "models/mlp/main.py").write_text("")
    (folder / "models/mlp/settings.py").write_text(MODEL)
    (folder / "models/mlp/presets/small.py").write_text(TINY_PRESET)
    env = folder / ENV
    env.write_text(env.read_text().replace("registry.example.com/mlops", "ghcr.io/me"))
    monkeypatch.chdir(folder)
    return folder


def with_line(line: str) -> int:
    """Add a line to mlops.env as with an editor, and return its number."""
    with ENV.open("a") as file:
        file.write(f"{line}\n")
    return ENV.read_text().count("\n")


def test_a_preset_of_ones_own(call: Call, package: Path) -> None:
    assert call("set", OVERLAY, "--preset", "quick").exit_code == 0
    assert "MLOPS_PRESET=quick\n" in ENV.read_text()
    assert call("check", OVERLAY) == Ended(0, "", "no problems found\n")
    assert "set MLOPS_PRESET=quick\n" in call("run", OVERLAY, "--local", "--mount", "datasets=.", "--dry-run").stdout
    # Its global batch of 24 is the one that counts.
    assert call("set", OVERLAY, "--workers", "5").stderr == (
        "Error: refused, a new error of `check` (global-batch): the global batch of preset quick cannot be divided among 5 ranks: 24\n\n"
        "hint: a multiple of workers × slots: `mlops-launch set OVERLAY MLOPS_GLOBAL_BATCH=25`\n"
    )
    assert call("set", OVERLAY, "--workers", "3").exit_code == 0
    # A script starts no preset that it does not know, a variable does.
    assert call("set", SINGLE_NODE, "--preset", "quick").stdout.count("\n+MLOPS_PRESET=quick\n") == 1
    assert call("check", SINGLE_NODE).exit_code == 0


def test_a_model_of_ones_own(call: Call, package: Path) -> None:
    assert call("set", OVERLAY, "MODEL_NAME=mlp", "--preset", "small", "MLOPS_HIDDEN_UNITS=8", "--workers", "4").exit_code == 0
    assert call("check", OVERLAY) == Ended(0, "", "no problems found\n")
    assert "set MODEL_NAME=mlp\n" in call("run", OVERLAY, "--local", "--mount", "datasets=.", "--dry-run").stdout
    # Neither the other model's presets nor its settings are this one's.
    assert call("set", OVERLAY, "--preset", "demo") == Ended(2, "", "Error: unknown preset: demo\n\nhint: one of small\n")
    assert call("set", OVERLAY, "MLOPS_ZERO_GAMMA=true").stderr.startswith("Error: unknown key: MLOPS_ZERO_GAMMA\n")
    assert call("set", OVERLAY, "MODEL_NAME=resnet50v1_5").stderr.startswith("Error: refused, a new error of `check` (preset-unknown)")


def test_a_model_without_declared_settings_may_have_any(call: Call, package: Path) -> None:
    Path("models/torch").mkdir()
    Path("models/torch/main.py").write_text("import torch\n")
    assert call("set", OVERLAY, "MODEL_NAME=torch", "MLOPS_ANYTHING=1", "MLOPS_EPOCHS=ten", "--preset", "mine").exit_code == 0
    assert call("check", OVERLAY) == Ended(0, "", "no problems found\n")


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (
            "MLOPS_LEARNING_RATE=0.2",
            "setting-unknown mlops.env:{} not a setting of resnet50v1_5: MLOPS_LEARNING_RATE"
            "\n  hint: did you mean `MLOPS_BASE_LEARNING_RATE`?",
        ),
        (
            "MLOPS_ZZ=0.2",
            "setting-unknown mlops.env:{} not a setting of resnet50v1_5: MLOPS_ZZ"
            "\n  hint: `mlops-launch check OVERLAY --settings` lists them",
        ),
        (
            "MLOPS_EPOCHS=ten",
            "setting-value mlops.env:{} MLOPS_EPOCHS is not a whole number: ten\n  hint: times that each image is seen; the default is 90",
        ),
        (
            "MLOPS_EPOCHS=-1",
            "setting-value mlops.env:{} MLOPS_EPOCHS must be above 0: -1\n  hint: times that each image is seen; the default is 90",
        ),
        (
            "MLOPS_SCHEDULE=cosin",
            "setting-value mlops.env:{} MLOPS_SCHEDULE is not one of cosine, step: cosin\n  hint: did you mean `cosine`?",
        ),
        (
            "MLOPS_SUMMARIES=no",
            "setting-value mlops.env:{} MLOPS_SUMMARIES is neither true nor false: no"
            "\n  hint: write TensorBoard files; the default is true",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_file_line_and_what_is_near(call: Call, package: Path, line: str, finding: str) -> None:
    number = with_line(line)
    assert call("check", OVERLAY) == Ended(1, f"error {finding.format(number)}\n", "")
    assert call("run", OVERLAY, "--local", "--dry-run").exit_code == 125


@pytest.mark.parametrize(
    "line", ["TF_XLA_FLAGS=a", "HOROVOD_CYCLE_TIME=2", "MLOPS_EPOCHS=3", "MLOPS_SUMMARIES=0", "MLOPS_WEIGHT_DECAY=1e-4"]
)
def test_a_right_line_is_left_alone(call: Call, package: Path, line: str) -> None:
    with_line(line)
    assert call("check", OVERLAY) == Ended(0, "", "no problems found\n")


@pytest.mark.parametrize(
    ("file", "text", "finding"),
    [
        (
            "models/resnet50v1_5/presets/quick.py",
            "OVERRIDES = {\n    'epoch': 1,\n}\n",
            "models/resnet50v1_5/presets/quick.py:2 not a setting of the model: epoch\n  hint: did you mean `epochs`?",
        ),
        (
            "models/resnet50v1_5/settings.py",
            "class Settings:\n    x: int = 3\n",
            "models/resnet50v1_5/settings.py:2 `x` is not declared by `setting(default, help)`\n"
            '  hint: a setting is `name: type = setting(DEFAULT, "help", …)` with type str, int, float or bool, and literals',
        ),
        (
            "common/training/settings.py",
            "class Settings(:",
            "common/training/settings.py:1 not valid Python: invalid syntax\n"
            '  hint: a setting is `name: type = setting(DEFAULT, "help", …)` with type str, int, float or bool, and literals',
        ),
    ],
)
def test_a_file_of_the_package_that_cannot_be_read_is_named_with_its_line(
    call: Call, package: Path, file: str, text: str, finding: str
) -> None:
    Path(file).write_text(text)
    if "presets" not in file:
        with_line("MLOPS_UNHEARD_OF=1")  # nobody knows now whether it is a setting
    assert call("check", OVERLAY) == Ended(1, f"error settings-file {finding}\n", "")


def test_what_is_not_a_file_or_not_a_preset_is_skipped(call: Call, package: Path) -> None:
    presets = Path("models/resnet50v1_5/presets")
    (presets / "folder.py").mkdir()
    (presets / "_helper.py").write_text("OVERRIDES = {'epoch': 1}\n")
    (presets / "notes.txt").write_text("quick\n")
    (presets / "lost.py").symlink_to("nowhere.py")
    assert call("check", OVERLAY) == Ended(0, "", "no problems found\n")
    assert call("set", OVERLAY, "--preset", "zz").stderr.endswith("hint: one of benchmark, demo, full, one_epoch, quick\n")


def test_a_model_on_a_volume_that_the_package_does_not_have_is_only_a_warning(call: Call, package: Path) -> None:
    ended = call("set", OVERLAY, "--model-dir", "/outputs/package", "MODEL_NAME=vit", "MLOPS_PATCHES=16")
    assert ended.exit_code == 0
    assert call("check", OVERLAY).stdout == (
        "warning model-elsewhere mlops.env:10 the overlay's own package does not have the model: vit\n"
        "  hint: one of mlp, mnist_mlp, resnet50v1_5; a model of your own is a folder of models/\n"
    )


def test_what_one_local_run_is_given_counts(call: Call, package: Path) -> None:
    def dry_run(*words: str) -> Ended:
        return call("run", OVERLAY, "--local", "--mount", "datasets=.", "--dry-run", *words)

    assert dry_run("--env", "MLOPS_EPOCH=1") == Ended(
        125, "", "Error: not a setting of resnet50v1_5: MLOPS_EPOCH\n\nhint: did you mean `MLOPS_EPOCHS`?\n"
    )
    assert dry_run("--env", "MLOPS_GLOBAL_BATCH=51").stderr.startswith("Error: MLOPS_GLOBAL_BATCH cannot be divided among 2 ranks: 51\n")
    assert dry_run("--env", "MLOPS_PRESET=zz").stderr.startswith("Error: no such preset: zz\n")
    assert dry_run("--env", "MLOPS_PRESET=quick").exit_code == 0
    # A package elsewhere has its own models.
    assert dry_run("--env", "MODEL_NAME=mlp", "--env", "MLOPS_PRESET=small").exit_code == 0
    shutil.copytree("models/mlp", "elsewhere/models/other")
    shutil.copytree("common", "elsewhere/common")
    shutil.copytree("quickstart", "elsewhere/quickstart")
    elsewhere = ("--model-dir", "elsewhere", "--env", "MLOPS_PRESET=small")
    assert dry_run(*elsewhere, "--env", "MODEL_NAME=mlp").stderr.startswith("Error: no such model in models/: mlp\n")
    assert dry_run(*elsewhere, "--env", "MODEL_NAME=other").exit_code == 0


def test_the_list_of_an_overlays_settings(call: Call, package: Path) -> None:
    call("set", OVERLAY, "MODEL_NAME=mlp", "--preset", "small")
    lines = call("check", OVERLAY, "--settings").stdout.splitlines()
    assert lines[0] == "mlp"
    assert "  MLOPS_HIDDEN_UNITS        32              int > 0                        of the layer" in lines
    assert lines[-1] == "  MLOPS_PRESET=small: Few units."
    (model,) = json.loads(call("check", OVERLAY, "--settings", "--json").stdout)["models"]
    assert (model["name"], model["presets"]) == ("mlp", [{"name": "small", "text": "Few units.", "overrides": {"hidden_units": 4}}])
    assert [setting for setting in model["settings"] if setting["name"] == "hidden_units"] == [
        {
            "variable": "MLOPS_HIDDEN_UNITS", "flag": "--hidden-units", "name": "hidden_units", "kind": "int", "default": 32,
            "help": "of the layer", "choices": [], "bounds": {"minimum": None, "above": 0, "below": None}, "resume": False,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "stderr"),
    [
        (("MODEL_NAME=resnet50v1_5\n", ""), "Error: no MODEL_NAME in the overlay: {}\n\nhint: add `MODEL_NAME=…` to mlops.env\n"),
        (("resnet50v1_5", "resnet50"), "Error: no such model in models/: resnet50\n\nhint: did you mean `resnet50v1_5`?\n"),
        (("resnet50v1_5", "zz"), "Error: no such model in models/: zz\n\nhint: one of mlp, mnist_mlp, resnet50v1_5\n"),
    ],
)
def test_a_list_of_no_model_is_refused(call: Call, package: Path, edit: tuple[str, str], stderr: str) -> None:
    ENV.write_text(ENV.read_text().replace(*edit))
    assert call("check", OVERLAY, "--settings") == Ended(1, "", stderr.format(OVERLAY))


def test_the_page_of_settings_is_fresh(call: Call) -> None:
    update = "mlops-launch check --settings --markdown > docs/reference/settings.md"
    assert call("check", "--settings", "--markdown").stdout == PAGE.read_text(), f"the page is stale: run `{update}`"


def test_every_shipped_model_and_preset_can_be_read() -> None:
    package = package_of(ROOT / OVERLAY)
    assert find_package(ROOT / OVERLAY) == ROOT
    folders = sorted(path.parent.name for path in ROOT.glob("models/*/main.py"))
    assert list(package.models) == folders
    for model in package.models.values():
        assert (model.problems, model.settings is None) == ((), False)
        assert sorted(model.presets) == sorted(p.stem for p in ROOT.glob(f"models/{model.name}/presets/[!_]*.py"))
        assert all(preset.text for preset in model.presets.values())
    assert sorted(package.scripts) == sorted(path.name for path in ROOT.glob("quickstart/*.sh"))
