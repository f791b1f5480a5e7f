#!/usr/bin/env python3
"""Train ResNet-50 v1.5.

One process:   python3 models/resnet50v1_5/main.py --preset demo --dataset-dir DIR --output-dir DIR
Two ranks:     mpirun -n 2 --bind-to none python3 models/resnet50v1_5/main.py --preset demo …
"""

from __future__ import annotations

import sys
from pathlib import Path

# The folder that holds common/ and models/: this file is run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.training.main import run
from common.training.model import Model, Network
from models.resnet50v1_5.settings import Settings


def build(settings: Settings, classes: int) -> Network:
    """Return the network."""
    from models.resnet50v1_5.model import ResNet  # TensorFlow is imported here

    return ResNet(settings, classes)


MODEL = Model("ResNet-50 v1.5", Settings, Path(__file__).resolve().parent / "presets", build)

if __name__ == "__main__":
    sys.exit(run(MODEL, sys.argv[1:]))
