"""Take secrets out of what is archived or shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "<redacted>"

_WORDS = "SECRET|TOKEN|PASSWORD|PASSPHRASE|CREDENTIALS?|(?:API|ACCESS|PRIVATE|ACCOUNT)_?KEY"
_SECRET_NAME = re.compile(f"(?:^|_)(?:{_WORDS})(?:_|$)", re.IGNORECASE)


def redact_value(name: str, value: str) -> str:
    """Return `value`, or a placeholder when the variable's name looks like a secret's.

    >>> redact_value("WANDB_API_KEY", "abc"), redact_value("MLOPS_PRESET", "demo")
    ('<redacted>', 'demo')
    """
    return REDACTED if value and _SECRET_NAME.search(name) else value


def redact_object(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes object without secrets: a Secret's data, and values of secret-looking names anywhere."""
    cleaned = dict(_clean(item))
    if item.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if part in cleaned:
                cleaned[part] = {key: REDACTED for key in cleaned[part] or {}}
        annotations = dict((cleaned.get("metadata") or {}).get("annotations") or {})
        if "kubectl.kubernetes.io/last-applied-configuration" in annotations:
            annotations["kubectl.kubernetes.io/last-applied-configuration"] = REDACTED
            cleaned["metadata"] = {**cleaned["metadata"], "annotations": annotations}
    return cleaned


def _clean(node: Any) -> Any:
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(node.get("name"), str) and isinstance(node.get("value"), str):  # an entry of `env`
        return {**node, "value": redact_value(node["name"], node["value"])}
    return {key: redact_value(str(key), value) if isinstance(value, str) else _clean(value) for key, value in node.items()}
