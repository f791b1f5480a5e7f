"""Paths into YAML: what edits, rules and kinds of workload say a place with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Named:
    """A step of a path into a list: the item whose `name` this is."""

    name: str

    def __str__(self) -> str:
        return f"[name={self.name}]"


Path = Sequence["str | Named"]
EVERY = Named("*")  # every item of a list, where places are looked for
