"""The line that shows how far a training is, for a terminal of any width."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlops_launch.contract import Value

BAR = 20  # columns of the bar when there is room
SMALLEST_BAR = 5
LEFT_OUT_IN_TURN = ("preset", "epoch", "bar", "top1", "rate", "step", "eta", "loss")


def progress_line(step: Mapping[str, Value], width: int, preset: str | None = None) -> str:
    """Return one line of at most `width` columns; what matters least is left out first.

    Args:
        step: the fields of a step line, as `Metrics.step` has them.
        width: columns of the terminal.
        preset: the preset's name, shown in front.

    >>> progress_line({"step": 60, "steps": 120, "epoch": 3, "loss": 0.5, "top1": 0.875, "images_per_s": 49.6, "eta_s": 75}, 71)
    'epoch 3 60/120 ██░░░ 50% 49.6 images/s loss 0.500 top-1 87.5% 1:15 left'
    """
    done, steps = int(step["step"]), max(1, int(step["steps"]))
    pieces = {
        "preset": preset or "",
        "epoch": f"epoch {step['epoch']}" if "epoch" in step else "",
        "step": f"{done}/{steps}",
        "bar": _bar(done, steps, SMALLEST_BAR),
        "percent": f"{100 * done // steps}%",
        "rate": _number("{:.1f} images/s", step.get("images_per_s")),
        "loss": _number("loss {:.3f}", step.get("loss")),
        "top1": _number("top-1 {:.1%}", step.get("top1")),
        "eta": f"{clock(step['eta_s'])} left" if clock(step.get("eta_s")) else "",
    }
    for name in LEFT_OUT_IN_TURN:
        if len(_join(pieces)) <= width:
            break
        del pieces[name]
    if "bar" in pieces:
        pieces["bar"] = _bar(done, steps, min(BAR, SMALLEST_BAR + width - len(_join(pieces))))
    return _join(pieces)[:width]


def clock(seconds: Value | None) -> str | None:
    """Return a number of seconds as `m:ss` or `h:mm:ss`; None for what is not a number.

    >>> clock(75), clock(3725), clock(None)
    ('1:15', '1:02:05', None)
    """
    if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar(done: int, steps: int, size: int) -> str:
    filled = size * min(done, steps) // steps
    return "█" * filled + "░" * (size - filled)


def _join(pieces: Mapping[str, str]) -> str:
    return " ".join(piece for piece in pieces.values() if piece)


def _number(template: str, value: Value | None) -> str:
    """Return the piece, or nothing where the log has a word instead of a number (nan)."""
    return template.format(value) if isinstance(value, (int, float)) else ""
