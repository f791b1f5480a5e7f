"""glibc keeps what is freed: counted by the page faults of a loop that takes and frees the same memory again and again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Blocks of many sizes, as a step takes and frees them: all of them, each page touched, then all freed. The first rounds
# make the heap; the rounds after them are counted.
LOOP = """
import ctypes, os, resource, sys, threading
from common.memory import keep_freed_memory
print(keep_freed_memory(os.environ))
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
SIZES = [1 << 12, 3 << 16, 5 << 20, 1 << 20, 7 << 18, 20 << 20, 9 << 10]
def step():
    blocks = [libc.malloc(size) for size in SIZES]
    for block, size in zip(blocks, SIZES):
        libc.memset(block, 1, size)
    for block in blocks:
        libc.free(block)
def count():
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
count()
thread = threading.Thread(target=count)
thread.start()
thread.join()
"""
PAGES = sum([1 << 12, 3 << 16, 5 << 20, 1 << 20, 7 << 18, 20 << 20, 9 << 10]) // os.sysconf("SC_PAGESIZE")


def faults(**extra: str) -> tuple[bool, list[int]]:
    """Return whether freed memory is kept, and the page faults of a round on the main thread and on another."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    environment = kept | {"PYTHONPATH": str(ROOT)} | extra
    ended = subprocess.run([sys.executable, "-c", LOOP], env=environment, capture_output=True, text=True, check=True)
    keeps, *counts = ended.stdout.split()
    return keeps == "True", [int(count) for count in counts]


def test_a_round_that_takes_what_the_round_before_has_freed_has_no_page_faults() -> None:
    keeps, counts = faults()
    assert keeps
    assert max(counts) < PAGES // 100


@pytest.mark.parametrize("extra", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}])
def test_what_a_person_says_about_malloc_wins(extra: dict[str, str]) -> None:
    keeps, counts = faults(**extra)
    assert not keeps
    assert counts[0] > PAGES // 2
