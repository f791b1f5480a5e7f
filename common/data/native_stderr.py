"""What C libraries write to stderr, caught: libjpeg complains there of a file without its name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# libjpeg's warnings of damage behind which it decodes on.
_COMPLAINT = re.compile(rb"^(?:Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS)[^\n]*", re.MULTILINE)


def complaints(work: Callable[[], T]) -> tuple[T, list[str]]:
    """Return what `work` returns, and libjpeg's complaints meanwhile; everything else is written to stderr afterwards.

    The whole process's stderr is caught: one call at a time, and nothing else should write there.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        # In memory: a container may have no folder that can be written.
        with open(os.memfd_create("stderr"), "w+b") as caught:
            os.dup2(caught.fileno(), 2)
            try:
                result = work()
            finally:
                os.dup2(kept, 2)
                caught.seek(0)
                text = caught.read()
                if rest := _COMPLAINT.sub(b"", text).strip():
                    os.write(2, rest + b"\n")
    finally:
        os.close(kept)
    return result, [line.decode(errors="replace") for line in _COMPLAINT.findall(text)]
