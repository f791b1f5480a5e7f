"""What a person types, read into values: users, quantities, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from mlops_launch.core.overlay.imagenames import is_registry, is_tag
from mlops_launch.errors import UsageError

LARGEST_ID = 2**31 - 1  # what the API server takes for runAsUser, runAsGroup and fsGroup
# No machine has as much: CPUs, and bytes.
LARGEST_CPU = 100_000
LARGEST_MEMORY = 2**60

_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<suffix>m|k|[MGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_FACTORS = {"m": Decimal("0.001"), "k": Decimal(1000)}
_FACTORS |= {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)}
_FACTORS |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class User:
    """The ids a pod runs under."""

    uid: int
    gid: int
    fs_group: int


def parse_user(text: str) -> User:
    """Return the ids of `U[:G[:F]]`; the group is the user's number, and fsGroup the group's, when left out.

    >>> parse_user("1234:5678")
    User(uid=1234, gid=5678, fs_group=5678)

    Raises:
        UsageError: a part is not a number from 0 to 2147483647, or there are more than three.
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() and int(part) <= LARGEST_ID for part in parts):
        raise UsageError(f"not a user: {text}", "numbers as `id -u` and `id -g` print them: 1234, 1234:5678 or 1234:5678:5678")
    numbers = [int(part) for part in parts]
    uid = numbers[0]
    gid = numbers[1] if len(numbers) > 1 else uid
    return User(uid, gid, numbers[2] if len(numbers) > 2 else gid)


def parse_quantity(text: str) -> Decimal | None:
    """Return a Kubernetes quantity as a number, or None when it is negative or not one.

    See https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

    >>> parse_quantity("500m"), parse_quantity("2Ki"), parse_quantity("two")
    (Decimal('0.500'), Decimal('2048'), None)
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match["suffix"] or ""
    number = Decimal(match["number"])
    return number * _FACTORS[suffix] if suffix in _FACTORS else number * Decimal(f"1{suffix}")


@dataclass(frozen=True)
class Form:
    """What a text must look like.

    Args:
        what: it must be, for the message.
        fits: whether a text is that.
        hint: what one looks like.
    """

    what: str
    fits: Callable[[str], object]
    hint: str

    def require(self, text: str) -> str:
        """Return `text` when it fits.

        Raises:
            UsageError: it does not.
        """
        if not self.fits(text):
            raise UsageError(f"not {self.what}: {text}", self.hint)
        return text


def is_dns_label(text: str) -> bool:
    """Return whether `text` may name a namespace or a pod (RFC 1123 label, at most 63 characters)."""
    return _LABEL.fullmatch(text) is not None


def _up_to(largest: int) -> Callable[[str], bool]:
    return lambda text: 0 < (parse_quantity(text) or 0) <= largest


_QUANTITY_HINT = "for instance 4 or 500m for CPU, 8Gi for memory"
CPU: Final = Form("a quantity for CPU", _up_to(LARGEST_CPU), _QUANTITY_HINT)
MEMORY: Final = Form("a quantity for memory", _up_to(LARGEST_MEMORY), _QUANTITY_HINT)
NAMESPACE: Final = Form(
    "the name of a namespace",
    is_dns_label,
    "lower-case letters, digits and `-`, at most 63 characters, starting and ending with a letter or digit",
)
REGISTRY: Final = Form("a registry", is_registry, "host[:port][/path] without https:// and without a tag, for instance ghcr.io/me")
TAG: Final = Form(
    "an image tag",
    is_tag,
    "letters, digits, `_`, `.` and `-`, at most 128 characters, perhaps with a digest: 0.1.0@sha256:…",
)


@dataclass(frozen=True)
class Count:
    """A number of things."""

    what: str
    least: int

    def require(self, number: int) -> int:
        """Return `number` when it is not too small.

        Raises:
            UsageError: it is.
        """
        if number < self.least:
            raise UsageError(f"{self.what} must be {self.least} or more: {number}", "count devices, pods and ranks in whole numbers")
        return number


GPUS: Final = Count("GPUs", 0)
WORKERS: Final = Count("workers", 1)
SLOTS: Final = Count("slots", 1)


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """Return the nearest of `words`, or None when none is near."""
    return next(iter(get_close_matches(word, sorted(words), n=1, cutoff=0.7)), None)
