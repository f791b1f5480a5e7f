"""The network's own setting, and its defaults for the others."""

from __future__ import annotations

from dataclasses import dataclass

from common.training import settings
from common.training.settings import setting


@dataclass(frozen=True)
class Settings(settings.Settings):
    """What the network reads."""

    hidden_units: int = setting(100, "units of the hidden layer", above=0, resume=True)
    image_size: int = setting(28, "height and width of the network's input", minimum=1, below=8193, resume=True)
