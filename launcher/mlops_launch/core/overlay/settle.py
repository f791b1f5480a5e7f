"""Try the places of each value until the rendered workload holds all of them, or until there is no further place."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from mlops_launch.core.overlay.files import OverlayFiles
from mlops_launch.core.overlay.goals import Goal
from mlops_launch.core.overlay.places import Place
from mlops_launch.core.overlay.rendered import Rendered
from mlops_launch.errors import LauncherError


@dataclass
class _Open:
    """A goal that an edit is needed for, with the places that have not been tried."""

    goal: Goal
    places: list[Place]
    was_tried: bool = False
    error: LauncherError | None = None


class NotHeldError(LauncherError):
    """No place of the overlay lets the rendered workload hold a value."""

    def __init__(self, goal: Goal, rendered: Rendered) -> None:
        super().__init__(f"`{goal.asked}` would not reach the job, which keeps: {goal.now(rendered)}", None)
        self.goal = goal
        self.rendered = rendered


def settle(files: OverlayFiles, goals: list[Goal], before: Rendered | None) -> Generator[OverlayFiles, Rendered | None, OverlayFiles]:
    """Yield edited overlays to be rendered, take what each renders to (None: it does not), and return the one that holds all goals.

    Raises:
        LauncherError: a place cannot be edited and there is no other.
        NotHeldError: every place was tried.
    """
    unmet = [_Open(goal, goal.places(files, before)) for goal in goals if before is None or not goal.is_held(before)]
    while True:
        edited = files
        for each in unmet:
            edited = _edited(each, edited)
        if edited == files and before is not None and not unmet:
            return files
        after = yield edited
        if after is None:
            return edited
        known = {id(each.goal) for each in unmet}
        missed = [goal for goal in goals if not goal.is_held(after)]
        if not missed:
            return edited
        for goal in missed:
            if id(goal) not in known:
                unmet.append(_Open(goal, goal.places(files, before)))
                continue
            each = next(each for each in unmet if each.goal is goal)
            each.places.pop(0)
            each.was_tried = True
            if not each.places:
                raise each.error or NotHeldError(goal, after)


def _edited(each: _Open, files: OverlayFiles) -> OverlayFiles:
    """Return the overlay with the goal's value in the first of its places that can be edited."""
    while True:
        try:
            return each.places[0].edited(files, each.goal.value)
        except LauncherError as error:
            # That of the likeliest place is worth saying.
            each.error = error if not each.was_tried and each.error is None else each.error
            each.places.pop(0)
            if not each.places:
                raise each.error or error from None
