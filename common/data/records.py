"""TFRecord files: written, scanned and read by index, always with their checksums.

A record is its length (8 bytes, little endian), the masked CRC-32C of the length (4 bytes), the data, and the masked
CRC-32C of the data (4 bytes). Only google_crc32c is needed, not TensorFlow.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from common.errors import TrainingError
from mlops_launch.contract import ExitCode

Lengths = npt.NDArray[np.int64]
Checksums = npt.NDArray[np.uint32]

HEADER: Final = 12
FOOTER: Final = 4
OVERHEAD: Final = HEADER + FOOTER

COPY_AGAIN: Final = "copy or prepare the file again"


def masked_crc(data: bytes) -> int:
    """Return TFRecord's checksum: the CRC-32C, rotated and shifted so that a CRC of data with CRCs stays strong."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """Return `data` as one record."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc(length)), data, struct.pack("<I", masked_crc(data))))


def offsets(lengths: Lengths) -> Lengths:
    """Return the byte at which each record of a file begins, given the length of each record's data."""
    return np.cumsum(lengths + OVERHEAD) - (lengths + OVERHEAD)


def file_size(lengths: Lengths) -> int:
    """Return the size of the file that has records of these lengths, bytes."""
    return int((lengths + OVERHEAD).sum())


class Scanned(NamedTuple):
    """What the records of a file say of themselves: the length of the data of each, and its masked CRC-32C."""

    lengths: Lengths
    checksums: Checksums


def scan(path: Path) -> Scanned:
    """Return lengths and checksums of a file's records, from headers and footers alone: the data are not read.

    Raises TrainingError: BAD_DATA naming file, record and byte where a length's checksum is wrong or the file ends inside
    a record, NO_DATA where it is not there, IO_ERROR where it cannot be read.
    """
    lengths: list[int] = []
    footers: list[bytes] = []
    try:
        with open(path, "rb", buffering=0) as file:
            descriptor, size, at = file.fileno(), os.fstat(file.fileno()).st_size, 0
            header = os.pread(descriptor, HEADER, 0)
            while at < size:
                if len(header) < HEADER:
                    raise _truncated(path, len(lengths), at)
                length = _length(path, len(lengths), at, header)
                end = at + length + OVERHEAD
                # One read for a record's footer and the header after it.
                block = os.pread(descriptor, OVERHEAD, end - FOOTER) if end <= size else b""
                if len(block) < FOOTER:
                    raise _truncated(path, len(lengths), at)
                lengths.append(length)
                footers.append(block[:FOOTER])
                header, at = block[FOOTER:], end
    except OSError as error:
        raise unreadable(path, error) from error
    return Scanned(np.array(lengths, np.int64), _checksums(footers))


def read_checksums(path: Path, lengths: Lengths, chosen: Lengths) -> Checksums:
    """Return the checksums that the records numbered `chosen` carry, in a file whose records have these lengths."""
    ends = np.cumsum(lengths + OVERHEAD)[chosen]
    try:
        with open(path, "rb", buffering=0) as file:
            footers = [os.pread(file.fileno(), FOOTER, int(end) - FOOTER) for end in ends]
    except OSError as error:
        raise unreadable(path, error) from error
    for record, end, footer in zip(chosen, ends, footers, strict=True):
        if len(footer) < FOOTER:
            raise _truncated(path, int(record), int(end) - int(lengths[record]) - OVERHEAD)
    return _checksums(footers)


def _checksums(footers: list[bytes]) -> Checksums:
    return np.frombuffer(b"".join(footers), np.dtype("<u4")).astype(np.uint32)


class Files:
    """Files open for reading, at most `limit` at a time; may be used from several threads."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, _File] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path, record: int, offset: int, length: int) -> bytes:
        """Return the data of the record number `record` of a file, which begins at byte `offset` and is `length` long.

        Raises TrainingError: BAD_DATA naming file, record and byte where length or checksum are wrong, IO_ERROR where the file
        cannot be read.
        """
        try:
            # The name keeps the file open while it is read: another thread may drop it from the cache.
            file = self._file(path)
            whole = os.pread(file.descriptor, length + OVERHEAD, offset)
        except OSError as error:
            raise unreadable(path, error) from error
        if len(whole) < length + OVERHEAD:
            raise _truncated(path, record, offset)
        if _length(path, record, offset, whole[:HEADER]) != length:
            raise _bad("or not the file of the index", path, record, offset)
        data = whole[HEADER:-FOOTER]
        if struct.unpack("<I", whole[-FOOTER:])[0] != masked_crc(data):
            raise _bad("wrong checksum", path, record, offset)
        return data

    def _file(self, path: Path) -> _File:
        with self._lock:
            if path not in self._open:
                self._open[path] = _File(path)
                if len(self._open) > self._limit:
                    self._open.popitem(last=False)
            self._open.move_to_end(path)
            return self._open[path]


class _File:
    """A file descriptor that closes with its last user: another thread may still read when the cache lets go of it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def unreadable(path: Path, error: OSError) -> TrainingError:
    """Return the error for a file or folder that cannot be read: NO_DATA where it is gone, otherwise IO_ERROR."""
    message = f"cannot read `{path}`: {error.strerror or error}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return TrainingError(message, "it was moved or removed, or is not mounted there", ExitCode.NO_DATA)
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"this process has uid {os.geteuid()} and gid {os.getegid()}: give them the right to read it"
        return TrainingError(message, hint, ExitCode.IO_ERROR)
    return TrainingError(message, "check the disk or the mount", ExitCode.IO_ERROR)


# What other files begin with, that people have in the place of records.
_OTHER_FILES: Final = {
    b"\x1f\x8b": "compressed with gzip",
    b"x\x9c": "compressed with zlib",
    b"version http": "a pointer of Git LFS and not the file itself",
    b"<": "a web page",
    b"PK": "a zip archive",
}


def _length(path: Path, record: int, offset: int, header: bytes) -> int:
    length, crc = struct.unpack("<QI", header)
    if crc != masked_crc(header[:8]):
        if offset == 0 and (other := next((what for begin, what in _OTHER_FILES.items() if header.startswith(begin)), None)):
            raise TrainingError(f"not records, but {other}: {path}", "the trainer reads plain TFRecord files", ExitCode.BAD_DATA)
        raise _bad("or no TFRecord, wrong checksum of a length", path, record, offset)
    return int(length)


def _truncated(path: Path, record: int, offset: int) -> TrainingError:
    return _bad("truncated", path, record, offset)


def _bad(what: str, path: Path, record: int, offset: int) -> TrainingError:
    return TrainingError(f"`{path}` is damaged, {what}: record {record} at byte {offset}", COPY_AGAIN, ExitCode.BAD_DATA)
