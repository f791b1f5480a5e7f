"""What the simulated containers do, in the forms that tests need most."""

from __future__ import annotations

from typing import Final

from tests.cluster.sim.nodes import Script

LINES: Final = [
    "start comm=horovod world_size=2 ranks=0:resnet50v1-5-worker-0,1:resnet50v1-5-worker-1",
    *(f"step={n}/4 epoch=1 loss={2.5 - n / 2}" for n in range(1, 5)),
    "result top1=0.9 step=4",
]
TRAINS: Final = Script([(1.0, line) for line in LINES])
ENDLESS: Final = Script([(1.0, LINES[0]), *((1.0, f"step={n}/9999 epoch=1 loss=1.0") for n in range(1, 4000))], code=None)


def fails(code: int) -> Script:
    """A training that ends after two lines."""
    return Script([(1.0, line) for line in LINES[:2]], code=code)
