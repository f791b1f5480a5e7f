"""The file of a checkpoint: safetensors, under one checksum.

Format 2: tensors by name; metadata (text) holds `format`, `step`, `configuration`, a JSON object of what a resume must
not change, and `sha256`, the checksum of the whole file with 64 zeros in the place of the checksum's digits.
Later formats keep that rule, so that a whole file of another format is told from a damaged one.
Format 1 is still read: its `sha256` is over the tensors alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import TrainingError
from mlops_launch.contract import ExitCode

FORMAT: Final = "2"
_ZEROS: Final = b"0" * 64
# In the JSON of the header. It cannot stand in a value of the metadata: quotes are escaped there.
_CHECKSUM: Final = re.compile(rb'"sha256":"([0-9a-f]{64})"')

Tensors = Mapping[str, npt.NDArray[Any]]
Decoded = tuple[int, dict[str, Any], Tensors]


class Damaged(Exception):
    """Why a file with the name of a checkpoint is none: what is wrong with it."""


def encode(step: int, configuration: Mapping[str, Any], tensors: Tensors) -> tuple[bytes | memoryview, ...]:
    """Return a checkpoint's file, in pieces."""
    from safetensors.numpy import save

    metadata = {
        "format": FORMAT,
        "step": str(step),
        "configuration": json.dumps(configuration, sort_keys=True),
        "sha256": _ZEROS.decode(),
    }
    # The library takes a tensor's memory as it lies.
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    content = memoryview(save(contiguous, metadata=metadata))
    start, end = _find_checksum(content)
    return content[:start], _checksum(content, start, end).encode(), content[end:]


def decode(content: bytes, name: str) -> Decoded:
    """Return (step, configuration, tensors) of the file `name`.

    Raises:
        Damaged: it is truncated or changed, in whatever way.
        TrainingError: it is whole, but of a later format (78).
    """
    from safetensors.numpy import load

    if not content:
        raise Damaged("it is empty")
    try:
        metadata = json.loads(bytes(_header(content)))["__metadata__"]
        form, stated = metadata["format"], metadata["sha256"]
        start, end = _find_checksum(content)
        whole = stated == _checksum(memoryview(content), start, end)
        if whole and form not in (FORMAT, "1"):
            raise TrainingError(
                f"checkpoint {name} is of a format that this version cannot read: {form}",
                "use the version that wrote it, or set another OUTPUT_DIR to start anew",
                ExitCode.CONFIGURATION,
            )
        if whole or form == "1":
            tensors = load(content)
            if whole or stated == _checksum_of_tensors(tensors):
                return int(metadata["step"]), dict(json.loads(metadata["configuration"])), tensors
    except (TrainingError, MemoryError):
        raise
    except Exception as error:  # of the JSON, the library or a missing field: there is no end of ways to be damaged
        raise Damaged(f"its header is illegible ({type(error).__name__})") from error
    raise Damaged("its checksum does not match")


def _header(content: bytes | memoryview) -> memoryview:
    """Return the JSON of a safetensors file."""
    (length,) = struct.unpack_from("<Q", content)
    if len(content) - 8 < length:
        raise Damaged("it is truncated")
    return memoryview(content)[8 : 8 + length]


def _find_checksum(content: bytes | memoryview) -> tuple[int, int]:
    """Return where the checksum's digits begin and end in the file."""
    match = _CHECKSUM.search(_header(content))
    if match is None:
        raise Damaged("its header holds no checksum")
    return 8 + match.start(1), 8 + match.end(1)


def _checksum(content: memoryview, start: int, end: int) -> str:
    """Return the SHA-256 of a file with zeros from `start` to `end`."""
    digest = hashlib.sha256(content[:start])
    digest.update(_ZEROS)
    digest.update(content[end:])
    return digest.hexdigest()


def _checksum_of_tensors(tensors: Tensors) -> str:
    """Return format 1's checksum: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
