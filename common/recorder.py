"""What a training writes about itself: log lines, metrics.jsonl, TensorBoard summaries, the trace of samples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from common.files import io_error
from common.output import OutputFolder, say
from common.summaries import Summaries
from mlops_launch.contract import EVALUATION, STEP, TENSORBOARD_FOLDER, Value, format_fields

# Of the last evaluation, in the result line.
_RESULT: Final = ("top1", "top5", "loss")


class Recorder:
    """Counts on every rank, writes on rank 0 alone (`output` is None elsewhere).

    Args:
        output: the output folder, or None.
        step: the step the training starts after; metrics of later steps are dropped.
        summaries: whether to write TensorBoard files.
    """

    def __init__(self, output: OutputFolder | None, step: int, summaries: bool) -> None:
        self._output = output
        self._loss = self._correct = self._images = 0.0
        # The time of a step runs from the end of the one before, or of the pause before it. The first step of all has none:
        # it holds the graph's compilation.
        self._clock: float | None = None
        self._timed_images = self._timed_seconds = 0.0
        self._all_images = self._all_seconds = 0.0
        self._rate = 0.0
        self._final: dict[str, Value] = {}
        self._evaluated: set[int] = set()
        self._summaries: Summaries | None = None
        if output is None:
            return
        records = output.rewind_metrics(step)
        for record in records:
            if record["kind"] == EVALUATION:
                self._evaluated.add(record["step"])
                self._final |= {name: record[name] for name in _RESULT if isinstance(record.get(name), int | float)}
        if summaries:
            self._summaries = Summaries(output.path / TENSORBOARD_FOLDER, records)

    def has_evaluation(self, step: int) -> bool:
        """Return whether metrics.jsonl holds the evaluation after `step`; False on ranks that do not write."""
        return self._output is not None and step in self._evaluated

    def count(self, loss_sum: float, correct: float, images: float) -> None:
        """Add one step's sums over all ranks."""
        self._loss += loss_sum
        self._correct += correct
        self._images += images
        now = time.monotonic()
        if self._clock is not None:
            self._timed_images += images
            self._timed_seconds += now - self._clock
        self._clock = now

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the time that the body takes out of the rate: an evaluation, a checkpoint."""
        started = time.monotonic()
        yield
        if self._clock is not None:
            self._clock += time.monotonic() - started

    def write_step(self, step: int, total_steps: int, epoch: int, learning_rate: float, seconds_left: Callable[[float], float]) -> None:
        """Write the figures since the last call: means over the images, and the rate in images a second.

        Args:
            step: the last one.
            total_steps: of the whole run.
            epoch: of the step, counted from 1.
            learning_rate: of the step.
            seconds_left: how long the rest takes at a number of images a second.
        """
        if self._timed_seconds:
            self._rate = self._timed_images / self._timed_seconds
        self._all_images += self._timed_images
        self._all_seconds += self._timed_seconds
        record: dict[str, Value] = {
            "epoch": epoch,
            "loss": self._loss / self._images,
            "top1": self._correct / self._images,
            "lr": learning_rate,
            "images_per_s": round(self._rate, 1),
            "eta_s": round(seconds_left(self._rate)) if self._rate else 0,
        }
        self._timed_images = self._timed_seconds = 0.0
        self._loss = self._correct = self._images = 0.0
        if self._output is None:
            return
        say(format_fields({STEP: f"{step}/{total_steps}"} | record))
        self._write("train", step, record)

    def write_evaluation(self, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        """Write an evaluation's figures."""
        if self._output is None:
            return
        record: dict[str, Value] = {"epoch": epoch, **figures}
        say(f"{EVALUATION} " + format_fields({"step": step} | record))
        self._final |= {name: figures[name] for name in _RESULT}
        self._write(EVALUATION, step, record)

    def _write(self, kind: str, step: int, record: Mapping[str, Value]) -> None:
        assert self._output is not None
        self._output.write_metrics({"kind": kind, "step": step, "time": round(time.time(), 3), **record})
        if self._summaries is not None:
            self._summaries.write(kind, step, record)

    def final_figures(self) -> dict[str, Value]:
        """Return the last evaluation's figures and the rate over all timed steps; without a timed step there is no rate."""
        rate = {"images_per_s": round(self._all_images / self._all_seconds, 1)} if self._all_seconds else {}
        return {**self._final, **rate}

    def close(self) -> None:
        """End the summaries' file."""
        if self._summaries is not None:
            self._summaries.close()


class SampleTrace:
    """Writes the record numbers that this rank consumed, one JSON line per step, to a folder; does nothing without one."""

    def __init__(self, folder: str, rank: int, size: int) -> None:
        self._path = Path(folder) / f"rank-{rank}-of-{size}.jsonl" if folder else None
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise io_error(error, f"write the trace of samples to {folder}") from error

    def write(self, step: int, records: Any) -> None:
        """Append one step's record numbers, int64 [n]."""
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"step": step, "records": records.numpy().tolist()}) + "\n")
            except OSError as error:
                raise io_error(error, f"write the trace of samples to {self._path}") from error
