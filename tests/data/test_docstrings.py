"""The examples in docstrings are true."""

from __future__ import annotations

import doctest

import pytest

from common import agreement
from common.data import identity, layout, names, order, shards, sizes


@pytest.mark.parametrize("module", [agreement, identity, layout, names, order, shards, sizes])
def test_examples(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0 and outcome.failed == 0
