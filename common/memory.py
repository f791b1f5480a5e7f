"""The heap keeps what a step frees, for the next step.

glibc gives freed memory back to the kernel as soon as the end of the heap is free, and a step frees nearly all it took:
the next step takes the same pages again, each by a page fault and filled with zeros. With two ranks of ResNet-50 at
32x32 side by side these were 66,000 faults a step, and a third of its time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

# mallopt(3), malloc.h
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

# Blocks up to this size come from the heap, and not by mmap, which returns them when they are freed. glibc takes no more.
MMAP_THRESHOLD = 32 * 2**20
# The heap grows by this much at once; a thread's, which is made of pieces, gives back only pieces beyond this much.
TOP_PAD = 64 * 2**20


def keep_freed_memory(environment: Mapping[str, str]) -> bool:
    """Have glibc keep freed memory, from the next allocation on; return whether it does.

    It does not where the environment says something else about malloc, which wins, nor with another C library.
    """
    if any(name.startswith("MALLOC_") for name in environment) or "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # -1 as a threshold: the end of the heap is never given back.
    options = {_M_MMAP_THRESHOLD: MMAP_THRESHOLD, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: TOP_PAD}
    return all([bool(libc.mallopt(option, value)) for option, value in options.items()])
