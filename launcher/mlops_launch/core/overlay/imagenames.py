"""What a container runtime takes for the name of an image, a registry and a tag.

https://github.com/distribution/reference/blob/main/regexp.go, and for digests https://github.com/opencontainers/go-digest
"""

from __future__ import annotations

import re

_WORD = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_WORD}(?:\.{_WORD})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
_REFERENCE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:{_DIGEST})?")
_TAG_AND_DIGEST = re.compile(rf"{_TAG}(?:{_DIGEST})?")


def is_reference(image: str) -> bool:
    """Return whether `image` names an image."""
    return _REFERENCE.fullmatch(image) is not None


def is_registry(text: str) -> bool:
    """Return whether an image's name may follow behind `text` and a `/`: host[:port][/path]."""
    return is_reference(f"{text}/image:tag")


def is_tag(text: str) -> bool:
    """Return whether `text` may follow an image's name and a `:`, perhaps with a digest."""
    return _TAG_AND_DIGEST.fullmatch(text) is not None
