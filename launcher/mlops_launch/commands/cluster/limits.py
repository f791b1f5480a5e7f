"""The time limits that the verbs on a cluster share, in seconds."""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 600.0  # for an API server that does not answer
POLL_S: Final = 0.3  # between two looks at what is to go
SPARE_S: Final = 60.0  # over a pod's own grace period, until a deletion counts as stuck
START_S: Final = 900.0  # to the job's first container; a cluster may add nodes meanwhile
