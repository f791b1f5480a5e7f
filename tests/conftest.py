"""What several rings share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits as TFRecords, made by the project's own command."""
    folder = tmp_path_factory.mktemp("digits")
    prepare = ROOT / "common" / "data" / "prepare.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "launcher")}
    subprocess.run([sys.executable, str(prepare), "digits", "--output", str(folder)], check=True, capture_output=True, env=environment)
    return folder
