"""Apply a rule's example to a copy of the shipped overlay that it belongs to."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mlops_launch.commands.overlay.package import find_package
from mlops_launch.core.rules.example import ENV, KUSTOMIZATION, RESOURCE, Example

_KEY = re.compile(r"^\ufeff?#? ?(?:export )?(?P<key>[A-Za-z0-9_]+) ?=")
_HEADS = {
    "multi-node": "apiVersion: kubeflow.org/v2beta1\nkind: MPIJob\nmetadata:\n  name: resnet50v1-5\n",
    "all-reduce": "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata:\n  name: all-reduce\n",
    "single-node": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: resnet50v1-5-training\n",
}


def apply_example(example: Example, overlay: Path) -> None:
    """Write the example into the overlay: into its env file, its kustomization, as a further patch, or into its package."""
    if example.file == ENV:
        path = overlay / ENV
        path.write_bytes(with_lines(path.read_bytes().decode(), example.text).encode())
    elif example.file == KUSTOMIZATION:
        path = overlay / KUSTOMIZATION
        path.write_text(with_fields(path.read_text(), example.text))
    elif example.file.endswith(".py"):
        package = find_package(overlay)
        assert package is not None
        (package / example.file).write_text(example.text)
    elif example.file == RESOURCE:
        (overlay / RESOURCE).write_text(example.text + "\n")
        path = overlay / KUSTOMIZATION
        path.write_text(with_fields(path.read_text(), f"resources:\n- {RESOURCE}"))
    else:
        (overlay / "example.yaml").write_text(_head(example) + example.text + "\n")
        path = overlay / KUSTOMIZATION
        path.write_text(with_fields(path.read_text(), "patches:\n- path: example.yaml"))


def _head(example: Example) -> str:
    head = _HEADS[example.overlay]
    return head.partition("metadata:")[0] if "metadata:" in example.text else head


def with_lines(text: str, block: str) -> str:
    """Put lines of an env file in the place of those with the same keys; to the end when there are none, to the top without a key."""
    keys = {match["key"] for line in block.split("\n") if (match := _KEY.match(line))}
    lines, place = [], None if keys else 0
    for line in text.split("\n"):
        match = _KEY.match(line)
        if match and match["key"] in keys and not line.startswith("#"):
            place = len(lines) if place is None else place
        else:
            lines.append(line)
    place = len(lines) - 1 if place is None else place
    return "\n".join([*lines[:place], block, *lines[place:]])


def with_fields(text: str, block: str) -> str:
    """Add fields to a kustomization; items of a list that it has go to the end of that list."""
    for field in re.split(r"\n(?=[A-Za-z])", block):
        key = field.partition(":")[0]
        if key not in yaml.safe_load(text):
            text += f"{field}\n"
            continue
        items = field.split("\n", 1)[1]
        text = re.sub(rf"^{key}:\n(?:[- ].*\n)+", lambda match, items=items: f"{match[0]}{items}\n", text, count=1, flags=re.MULTILINE)
    return text
