"""What several rings share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# `ci` draws the same inputs each time, so that a change is judged by itself; hypothesis takes it where CI is set.
if "HYPOTHESIS_PROFILE" in os.environ:
    settings.load_profile(os.environ["HYPOTHESIS_PROFILE"])


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits as TFRecords, made by the project's own command."""
    folder = tmp_path_factory.mktemp("digits")
    prepare = ROOT / "common" / "data" / "prepare.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "launcher")}
    subprocess.run([sys.executable, str(prepare), "digits", "--output", str(folder)], check=True, capture_output=True, env=environment)
    return folder
