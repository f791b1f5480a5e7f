"""What the launcher and the training agree on: exit codes, environment names, the lines of the log.

Standard library only: a rank imports it, and needs nothing else of the launcher.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Exit codes of a training: 1-127 are permanent, 128-255 may be retried (names from sysexits.h)."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = os.EX_USAGE  # 64: unknown flag or value
    BAD_DATA = os.EX_DATAERR  # 65: truncated record, label out of range
    NO_DATA = os.EX_NOINPUT  # 66: dataset folder missing or empty
    DIVERGED = os.EX_SOFTWARE  # 70: the loss is not finite
    CANNOT_CREATE = os.EX_CANTCREAT  # 73: output folder not writable, or in use
    IO_ERROR = os.EX_IOERR  # 74: disk full or a failing device
    CONFIGURATION = os.EX_CONFIG  # 78: configuration, world size, placement, foreign checkpoint
    KILLED = 137  # a rank was killed, by memory or by hand
    INTERRUPTED = 143  # asked to stop: saved, and can be resumed
    WORKER_LOST = 255  # mpirun lost its connection to a worker


class LauncherExitCode(IntEnum):
    """Exit codes of `mlops-launch` itself, beside those of the training."""

    FAILURE = 1
    USAGE = 2
    NO_RESULT = os.EX_PROTOCOL  # 76: a trainer has ended with 0 and without its result line
    TIMEOUT = 124
    LAUNCHER_FAILED = 125
    DETACHED = 130


def is_retryable(code: int) -> bool:
    """Return whether another try may help: 128-255, the rule of the MXNet operator."""
    return 128 <= code <= 255


# Keys of mlops.env.
REGISTRY: Final = "REGISTRY"
IMAGE_TAG: Final = "IMAGE_TAG"
DATASET_DIR: Final = "DATASET_DIR"
MODEL_DIR: Final = "MODEL_DIR"
OUTPUT_DIR: Final = "OUTPUT_DIR"
MODEL_NAME: Final = "MODEL_NAME"
MODEL_SCRIPT: Final = "MODEL_SCRIPT"
PRESET: Final = "MLOPS_PRESET"

# Read when the overlay is rendered or the launcher's command line expanded, never by a rank.
KEYS_NOT_FOR_RANKS: Final = frozenset({REGISTRY, IMAGE_TAG, MODEL_SCRIPT})

# Written by the overlay's replacements, or by the local engine: what the trainer must find.
WORKERS: Final = "MLOPS_WORKERS"
SLOTS_PER_WORKER: Final = "MLOPS_SLOTS_PER_WORKER"

# Every flag of the trainer can be given as MLOPS_<FLAG>; these two are not flags.
FLAG_PREFIX: Final = "MLOPS_"
NOT_FLAGS: Final = frozenset({WORKERS, SLOTS_PER_WORKER})

# The image's work folder, and the default of MODEL_DIR.
IMAGE_MODEL_DIR: Final = "/workspace"

# Files below OUTPUT_DIR.
METRICS_FILE: Final = "metrics.jsonl"
CHECKPOINTS_FOLDER: Final = "checkpoints"
TENSORBOARD_FOLDER: Final = "tensorboard"
LOG_COPY_FILE: Final = "launcher.log"
LOG_STARTS_FILE: Final = "launcher.log.starts"
RESULT_FILE: Final = "result.json"

# What trainer and launcher say where a dataset folder holds no dataset.
NO_DATA_HINT: Final = (
    "write a dataset with `common/data/prepare.py`, or name the folder of one: DATASET_DIR, in a local run `--mount datasets=DIR`"
)

# Log lines: a word, then key=value pairs (logfmt).
START: Final = "start"  # the first line of a training: what runs, how many ranks, where
STEP: Final = "step"  # `step=120/1000 epoch=2 loss=…`: the key is the word
EVALUATION: Final = "evaluation"  # the figures over the validation images
RESULT: Final = "result"  # the last line, the final figures
OUT_OF_MEMORY: Final = "out-of-memory"  # of a worker's entry point: a rank was killed for memory

Value = str | int | float

_BARE = re.compile(r'[^\s="]+')
_PAIR = re.compile(r'(?<![A-Za-z0-9_.])(?P<key>[A-Za-z0-9_.]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^\s="]+)')


def format_fields(fields: Mapping[str, Value]) -> str:
    """Return `fields` as logfmt: floats with four decimals at most (six digits when tiny), text quoted when it must be.

    >>> format_fields({"loss": 1.83421, "rate": 12.4, "lr": 0.00001, "host": "a b"})
    'loss=1.8342 rate=12.4 lr=1e-05 host="a b"'
    """
    return " ".join(f"{key}={_format_value(value)}" for key, value in fields.items())


def _format_value(value: Value) -> str:
    if isinstance(value, float):
        return str(round(value, 4)) if value == 0 or abs(value) >= 0.001 else f"{value:.6g}"
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def parse_fields(line: str) -> dict[str, str]:
    """Return the key=value pairs of a log line, values as text; words without `=` are skipped.

    >>> parse_fields('result top1=0.9806 host="a b"')
    {'top1': '0.9806', 'host': 'a b'}
    """
    return {match["key"]: _unquote(match["value"]) for match in _PAIR.finditer(line)}


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text[1:-1])


def start_line(comm: str, hosts: Iterable[str]) -> str:
    """Return the first line of a training; `hosts` holds each rank's host, in rank order.

    >>> start_line("horovod", ["demo-worker-0", "demo-worker-1"])
    'start comm=horovod world_size=2 ranks=0:demo-worker-0,1:demo-worker-1'
    """
    ranks = [f"{rank}:{host}" for rank, host in enumerate(hosts)]
    return f"{START} " + format_fields({"comm": comm, "world_size": len(ranks), "ranks": ",".join(ranks)})
