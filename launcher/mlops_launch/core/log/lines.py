"""The figures in a training's log: the newest step line and the result line."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops_launch.contract import RESULT, STEP, Value, parse_fields

_STEP_PREFIX = f"{STEP}=".encode()
_RESULT_PREFIX = f"{RESULT} ".encode()


class LineReader:
    """Cuts a stream of chunks into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without their line ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines

    def end(self) -> list[bytes]:
        """Return the last line if it had no line end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


@dataclass
class Metrics:
    """What the log has said so far.

    Args:
        step: the fields of the newest step line; `steps` is the total.
        result: the fields of the result line.
    """

    step: dict[str, Value] = field(default_factory=dict)
    result: dict[str, Value] = field(default_factory=dict)

    def read(self, line: bytes) -> bool:
        """Take in a line of the log; return whether it was a step line."""
        if line.startswith(_STEP_PREFIX):
            fields = typed_fields(line.decode(errors="replace"))
            done, _, total = str(fields.pop(STEP)).partition("/")
            if done.isdigit() and total.isdigit():
                self.step = {"step": int(done), "steps": int(total), **fields}
                return True
        elif line.startswith(_RESULT_PREFIX):
            self.result = typed_fields(line.decode(errors="replace"))
        return False


def is_result(line: bytes) -> bool:
    """Return whether a line of the log is the result line."""
    return line.startswith(_RESULT_PREFIX)


def typed_fields(line: str) -> dict[str, Value]:
    """Return the fields of a log line, numbers as numbers.

    >>> typed_fields("result top1=0.98 step=120 output=/a")
    {'top1': 0.98, 'step': 120, 'output': '/a'}
    """
    return {key: _typed(value) for key, value in parse_fields(line).items()}


def _typed(text: str) -> Value:
    if "_" in text:  # Python reads 1_000 as a number
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        # JSON knows neither infinity nor NaN: those stay words.
        return value if abs(value) < float("inf") else text
    return text
