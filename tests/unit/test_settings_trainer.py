"""Launcher and trainer read the same files: the one with `ast`, the other by importing them; they must think the same of every value."""

from __future__ import annotations

import importlib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import TrainingError
from common.training.configuration import preset_names, read_settings
from mlops_launch.commands.overlay.package import package_of
from mlops_launch.core.settings.model import Bounds

ROOT = Path(__file__).parents[2]
PACKAGE = package_of(ROOT)
MODELS = sorted(PACKAGE.models)
WHERE = {"OUTPUT_DIR": "/out", "DATASET_DIR": "/data"}


def trainers(model: str) -> type[Any]:
    return importlib.import_module(f"models.{model}.settings").Settings


@pytest.mark.parametrize("model", MODELS)
def test_the_settings_are_the_same_ones(model: str) -> None:
    kind, types = trainers(model), get_type_hints(trainers(model))
    read = {
        setting.name: (setting.kind, setting.default, setting.help, setting.choices, setting.bounds, setting.resume)
        for setting in (PACKAGE.models[model].settings or {}).values()
    }
    assert read == {
        f.name: (
            types[f.name].__name__, f.default, f.metadata["help"], tuple(f.metadata["choices"] or ()),
            Bounds(*(f.metadata[name] for name in ("minimum", "above", "below"))), f.metadata["resume"],
        )
        for f in fields(kind)
    }  # fmt: skip
    assert list(read) == [f.name for f in fields(kind)]


@pytest.mark.parametrize("model", MODELS)
def test_the_presets_are_the_same_ones_and_give_the_same_values(model: str) -> None:
    folder = ROOT / "models" / model / "presets"
    assert sorted(PACKAGE.models[model].presets) == sorted(preset_names(folder))
    for preset in preset_names(folder):
        environment = WHERE | {"MLOPS_PRESET": preset}
        expected = vars(read_settings([], environment, trainers(model), folder))
        assert {name: PACKAGE.effective(PACKAGE.models[model], name, environment, None) for name in expected} == expected


NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).map(str), st.floats(width=32).map(str), st.floats().map(repr), st.integers(-3, 3).map(str)
)
ODD = ["", " 1", "1_0", "1e3", "1e400", "-0", "+5", "٣", "nan", "inf", "true", "True", "0x1", "1.", ".5", "2147483648", "4096.0"]
TEXTS = st.one_of(NUMBERS, st.sampled_from(ODD), st.text(st.characters(blacklist_categories=["Cs"]), max_size=4))


@pytest.mark.parametrize("model", MODELS)
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_they_refuse_the_same_values(model: str, data: st.DataObject) -> None:
    known = PACKAGE.models[model].by_variable()
    setting = known[data.draw(st.sampled_from(sorted(known)))]
    text = data.draw(st.one_of(TEXTS, st.sampled_from(setting.choices or ("",))))
    complaint = setting.text_complaint(text) if text else None
    if setting.kind == "str" and not setting.choices:
        assert complaint is None
        return
    environment = WHERE | {setting.variable: text}
    try:
        read_settings([], environment, trainers(model), ROOT / "models" / model / "presets")
    except TrainingError as error:
        assert complaint is not None, error
    else:
        assert complaint is None
        if text:
            assert PACKAGE.effective(PACKAGE.models[model], setting.name, environment, None) is not None
