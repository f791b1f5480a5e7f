"""Records read ahead of the training: in threads, a step at a time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.data.dataset import Dataset
from common.data.order import Records
from common.data.split import Example
from common.errors import TrainingError

# Readers wait for the disk or the network; one task reads a few records, so that a large step is spread over the threads.
THREADS: Final = 8
RECORDS_PER_TASK: Final = 16
# So much is read ahead, so that one slow file does not stop the training.
RECORDS_AHEAD: Final = 128

# Where a rank has fewer records in a step than in others, the rest of its rows are empty and have this number.
NO_RECORD: Final = -1

# (encoded object [rows], labels int32 [rows], records int64 [rows], key int64)
Rows = tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64], np.int64]


class Reader:
    """Iterates over steps; each has the same number of rows, the last of which may be empty.

    tf.data calls it from a thread of its own, where an exception would become a TensorFlow error with a traceback for a
    message. So a failure ends the iteration and is kept in `failure`.

    Attributes:
        failure: the error that ended the iteration.
        outstanding: the record numbers of the steps that were handed out and not yet taken off this queue.
    """

    def __init__(self, dataset: Dataset, split: str, steps: Iterator[tuple[int, Records]], rows: int) -> None:
        """`steps` yields (key, record numbers): the key is the random seed of a step's images, beside the record number."""
        self.failure: TrainingError | None = None
        self.outstanding: deque[Records] = deque()
        self._dataset = dataset
        self._split = split
        self._steps = steps
        self._rows = rows
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mlops-reader")
        self._closed = False
        self._waiting: deque[tuple[int, Records, list[Future[list[Example]]]]] = deque()

    def __iter__(self) -> Iterator[Rows]:
        try:
            while self._read_ahead():
                key, records, parts = self._waiting.popleft()
                examples = [example for part in parts for example in part.result()]
                self.outstanding.append(records)
                yield self._fill(key, records, examples)
        except TrainingError as error:
            self.failure = error
        except (CancelledError, RuntimeError):
            # `close` was called while tf.data still asked for more.
            if not self._closed:
                raise

    def close(self) -> None:
        """End the threads; what they have begun to read is finished first."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read_ahead(self) -> bool:
        """Keep enough reads under way; return False at the end."""
        while len(self._waiting) < 2 or sum(len(records) for _, records, _ in self._waiting) < RECORDS_AHEAD:
            step = next(self._steps, None)
            if step is None:
                break
            key, records = step
            tasks = [records[first : first + RECORDS_PER_TASK] for first in range(0, len(records), RECORDS_PER_TASK)]
            self._waiting.append((key, records, [self._pool.submit(self._read, task) for task in tasks]))
        return bool(self._waiting)

    def _read(self, records: Records) -> list[Example]:
        return [self._dataset.read(self._split, int(record)) for record in records]

    def _fill(self, key: int, records: Records, examples: list[Example]) -> Rows:
        encoded = np.full(self._rows, b"", dtype=object)
        labels = np.zeros(self._rows, np.int32)
        numbers = np.full(self._rows, NO_RECORD, np.int64)
        count = len(records)
        encoded[:count] = [example.encoded for example in examples]
        labels[:count] = [example.label for example in examples]
        numbers[:count] = records
        return encoded, labels, numbers, np.int64(key)
