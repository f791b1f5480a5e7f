"""The devices that a rank computes on, by the names of their resources."""

from __future__ import annotations

import re
from typing import Final

# Of any vendor.
ACCELERATOR: Final = re.compile(r".+/(?:gpu(?:\.shared)?|mig-.+|gaudi|i915|xe|tpu|neuron(?:core)?|Ascend.+)")
DEFAULT_GPU: Final = "nvidia.com/gpu"
