"""In a folder from `init`, a model and a preset of the user's own are set, checked and trained like those that came with it."""

import re

from mlops_launch.contract import ExitCode, parse_fields

MULTI_NODE = "mine/quickstart/k8s/mlops/multi-node"
SETTINGS = '''\
"""The tiny network, and another default."""

from dataclasses import dataclass

from common.training.settings import setting
from models.resnet50v1_5 import settings


@dataclass(frozen=True)
class Settings(settings.Settings):
    model: str = setting("tiny", "the network", choices=("tiny",), resume=True)
    global_batch: int = setting(24, "images in a step", above=0, resume=True)
'''
PRESET = '''\
"""Two steps."""

OVERRIDES = {"max_steps": 2, "image_size": 8, "augment": "none", "summaries": False, "log_steps": 1}
'''


def test_a_model_and_a_preset_of_ones_own_train(call, run_local, digits, tmp_path):
    assert call("init", "mine").returncode == 0
    models = tmp_path / "mine" / "models"
    (models / "own" / "presets").mkdir(parents=True)
    shipped = (models / "resnet50v1_5" / "main.py").read_text()
    (models / "own" / "main.py").write_text(shipped.replace("models.resnet50v1_5.settings", "models.own.settings"))
    (models / "own" / "settings.py").write_text(SETTINGS)
    (models / "own" / "presets" / "two_steps.py").write_text(PRESET)
    changed = call("set", MULTI_NODE, "MODEL_NAME=own", "--preset", "two_steps", "--registry", "ghcr.io/me", "MLOPS_BN_DECAY=0.8")
    assert (changed.returncode, changed.stderr) == (0, "")
    checked = call("check", MULTI_NODE)
    assert (checked.returncode, checked.stderr) == (0, "no problems found\n")

    run = run_local(tmp_path / MULTI_NODE, "--mount", f"datasets={digits}")
    assert run.wait(150) == ExitCode.SUCCESS, run.errors
    plan = parse_fields(next(line for line in run.lines if line.startswith("plan ")))
    assert (plan["model"], plan["global_batch"], plan["image_size"], plan["steps"]) == ("tiny", "24", "8", "2")
    assert [line.partition(" ")[0] for line in run.lines if re.match(r"step=\d", line)] == ["step=1/2", "step=2/2"]
    assert run.result()["exit_code"] == 0
