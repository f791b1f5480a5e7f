"""What a person types is read, or refused with a hint."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mlops_launch.core.overlay import values
from mlops_launch.core.overlay.values import User
from mlops_launch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("1234", User(1234, 1234, 1234)),
        ("1234:5678", User(1234, 5678, 5678)),
        ("1234:5678:9", User(1234, 5678, 9)),
        ("0", User(0, 0, 0)),
        ("2147483647", User(2147483647, 2147483647, 2147483647)),
    ],
)
def test_a_user(text: str, user: User) -> None:
    assert values.parse_user(text) == user


@pytest.mark.parametrize("text", ["", "me", "1234:", ":1", "1:2:3:4", "-1", "1.5", " 1", "2147483648", "<User ID>", "١"])
def test_no_user(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        values.parse_user(text)
    assert caught.value.message == f"not a user: {text}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", Decimal(4)),
        ("0.5", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("500m", Decimal("0.5")),
        ("1k", Decimal(1000)),
        ("8Gi", Decimal(8 * 2**30)),
        ("2E", Decimal(2 * 10**18)),
        ("1e3", Decimal(1000)),
    ],
)
def test_a_quantity(text: str, number: Decimal) -> None:
    assert values.parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "-1", "8GB", "8 Gi", "four", "Gi", "1.2.3", "None"])
def test_no_quantity(text: str) -> None:
    assert values.parse_quantity(text) is None
    with pytest.raises(UsageError, match="not a quantity for memory"):
        values.MEMORY.require(text)


def test_nothing_is_no_quantity_to_ask_for() -> None:
    with pytest.raises(UsageError, match="not a quantity for CPU: 0"):
        values.CPU.require("0")


@pytest.mark.parametrize("name", ["a", "team-a", "9", "a" * 63])
def test_a_namespace(name: str) -> None:
    assert values.NAMESPACE.require(name) == name


@pytest.mark.parametrize("name", ["", "Team", "a_b", "-a", "a-", "a.b", "a" * 64])
def test_no_namespace(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a namespace"):
        values.NAMESPACE.require(name)


@pytest.mark.parametrize("registry", ["ghcr.io/me", "localhost:5000", "registry.example.com:5000/a/b-c", "[::1]:5000/a", "my_team/x"])
def test_a_registry(registry: str) -> None:
    assert values.REGISTRY.require(registry) == registry


@pytest.mark.parametrize("registry", ["https://ghcr.io/me", "ghcr.io/me:latest", "ghcr.io/", "ghcr.io/Me", "ghcr.io//me", "<registry>", ""])
def test_no_registry(registry: str) -> None:
    with pytest.raises(UsageError, match="not a registry"):
        values.REGISTRY.require(registry)


@pytest.mark.parametrize("tag", ["a:b", "-1", "a/b", "a" * 129, "ä", f"1@sha256:{'0' * 63}", f"1@sha256:{'A' * 64}", f"1@md5:{'0' * 32}"])
def test_no_tag(tag: str) -> None:
    with pytest.raises(UsageError, match="not an image tag"):
        values.TAG.require(tag)


def test_the_nearest_word_or_none() -> None:
    assert values.did_you_mean("DATASETDIR", ["DATASET_DIR", "MODEL_DIR"]) == "DATASET_DIR"
    assert values.did_you_mean("x", ["DATASET_DIR", "MODEL_DIR"]) is None
