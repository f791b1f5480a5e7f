#!/usr/bin/env python3
"""Train a network of one hidden layer.

One process:   python3 models/mnist_mlp/main.py --preset demo --dataset-dir DIR --output-dir DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

# The folder that holds common/ and models/: this file is run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.training.main import run
from common.training.model import Model, Network
from models.mnist_mlp.settings import Settings


def build(settings: Settings, classes: int) -> Network:
    """Return the network."""
    from models.mnist_mlp.model import Mlp  # TensorFlow is imported here

    return Mlp(settings, classes)


MODEL = Model("a network of one hidden layer", Settings, Path(__file__).resolve().parent / "presets", build)

if __name__ == "__main__":
    sys.exit(run(MODEL, sys.argv[1:]))
