"""TensorBoard's files: the figures of metrics.jsonl, each step once, also after a kill and a resume."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from common.data.records import FOOTER, HEADER, frame
from common.errors import TrainingError
from common.files import io_error, replace_file
from common.output import Record, talk
from mlops_launch.contract import ExitCode, Value

# Fields of metrics.jsonl that are not figures.
_NO_FIGURES: Final = frozenset({"kind", "step", "time", "epoch"})
# The first word of our tags, such as `train/loss`.
_KINDS: Final = ("train", "evaluation")

# The first record of an event file, TensorBoard's version, is short; a file that begins otherwise is not one.
LONGEST_FIRST: Final = 1024

LARGEST_WHOLE: Final = 2**63
LARGEST: Final = (2 - 2**-23) * 2.0**127  # of a scalar, which is a float32

Point = tuple[str, int]  # a tag and a step


class Summaries:
    """Writes scalars to a folder.

    Args:
        folder: of the event files.
        records: the metrics so far, as `OutputFolder.rewind_metrics` returns them. What the folder has beside them is
            removed, what it lacks is written.
    """

    def __init__(self, folder: Path, records: Iterable[Record]) -> None:
        import tensorflow as tf

        records = [record for record in records if record["kind"] in _KINDS]
        wanted = {(f"{record['kind']}/{name}", record["step"]) for record in records for name in _figures(record)}
        there: set[Point] = set()
        try:
            for path in sorted(folder.glob("events.out.tfevents.*")):
                _rewind(path, wanted, there)
        except OSError as error:
            raise io_error(error, f"rewind the summaries in {folder}") from error
        with _told():
            self._writer = tf.summary.create_file_writer(str(folder))
        for record in records:
            kind, step = record["kind"], record["step"]
            if missing := {name: value for name, value in _figures(record).items() if (f"{kind}/{name}", step) not in there}:
                self.write(kind, step, missing)
                there |= {(f"{kind}/{name}", step) for name in missing}

    def write(self, kind: str, step: int, figures: Mapping[str, Value]) -> None:
        """Write the figures after `step`, and flush them."""
        import tensorflow as tf

        with _told():
            with self._writer.as_default():
                for name, value in _figures(figures).items():
                    tf.summary.scalar(f"{kind}/{name}", math.copysign(math.inf, value) if abs(value) > LARGEST else value, step=step)
            self._writer.flush()

    def close(self) -> None:
        """End the file."""
        with _told():
            self._writer.close()


def _rewind(path: Path, wanted: set[Point], there: set[Point]) -> None:
    """Leave in an event file only the points that are wanted and not yet `there`; add them to it. What is not ours stays."""
    data = path.read_bytes()
    if len(data) >= HEADER and struct.unpack_from("<Q", data)[0] > LONGEST_FIRST:
        return
    kept, dropped, legible, worth = [], 0, 0, False
    for record in _records(data):
        legible += len(record) + HEADER + FOOTER
        points, is_first = _points(record)
        if all(tag.split("/")[0] in _KINDS for tag, _ in points):
            if points and not (points <= wanted and points.isdisjoint(there)):
                dropped += 1
                continue
            there |= points
        kept.append(record)
        worth |= not is_first
    if legible < len(data):
        talk(f"warning: {path.name} ends with a record that a killed run has left illegible; it is dropped")
    if not worth:
        path.unlink()
    elif legible < len(data) or dropped:
        replace_file(path, lambda file: file.writelines(map(frame, kept)))


def _figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what of a record TensorBoard can have; a line of metrics.jsonl may hold anything."""
    return {
        name: value
        for name, value in record.items()
        if name not in _NO_FIGURES and name.isprintable()
        if isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST_WHOLE)
    }


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the records of an event file, to the first that is cut off or damaged."""
    at = 0
    while len(data) - at >= HEADER + FOOTER:
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + HEADER + length + FOOTER
        record = data[at + HEADER : end - FOOTER]
        if end > len(data) or frame(record) != data[at:end]:
            return
        yield record
        at = end


def _points(record: bytes) -> tuple[set[Point], bool]:
    """Return the points of a record, and whether it is nothing but the version with which an event file begins."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.util.event_pb2 import Event

    try:
        event = Event.FromString(record)
    except DecodeError:
        return set(), False
    return {(value.tag, event.step) for value in event.summary.value}, event.WhichOneof("what") == "file_version"


@contextmanager
def _told() -> Iterator[None]:
    """Turn TensorFlow's errors of writing into ours."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        denied = isinstance(error, tf.errors.PermissionDeniedError | tf.errors.FailedPreconditionError | tf.errors.NotFoundError)
        raise TrainingError(
            f"cannot write the summaries: {error.message}",
            "free space on the output volume, or set MLOPS_SUMMARIES=false",
            ExitCode.CANNOT_CREATE if denied else ExitCode.IO_ERROR,
        ) from error
