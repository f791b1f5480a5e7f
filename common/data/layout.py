"""Which folder of a source is a class, which a split, and where that cannot be told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from common.data.listing import DANGLING, Notes, Tree
from common.data.names import printable, some_of
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

# The usual names of splits, in any case.
TRAIN_NAMES: Final = ("train", "training")
VALIDATION_NAMES: Final = ("val", "valid", "validation")
TEST_NAMES: Final = ("test", "testing")
SPLIT_NAMES: Final = (TRAIN_NAMES, VALIDATION_NAMES, TEST_NAMES)


class Layout(NamedTuple):
    """The classes in the order of their labels; the folder that holds theirs for training, and the one for validation or None."""

    classes: tuple[str, ...]
    train: Path
    validation: Path | None


def find_layout(source: Path, fraction: float | None, notes: Notes, log: Callable[[str], None]) -> Layout:
    """Return the layout of a folder that holds class folders, or split folders that hold class folders.

    Args:
        source: the folder.
        fraction: of the images that are to be held out; None where nobody asked for one.
        notes: what is left out is noted there.
        log: takes what a person may not expect.

    Raises TrainingError: NO_DATA where there are no class folders, BAD_DATA where the role of a folder cannot be told or there
    is but one class, USAGE for a fraction beside a folder of validation images, IO_ERROR for a folder that cannot be read.
    """
    tree = Tree(source, notes)
    folders = _class_folders(source, tree, notes)
    train, validation, test = ([path for path in folders if path.name.casefold() in names] for names in SPLIT_NAMES)
    others = [path for path in folders if path not in (*train, *validation, *test)]
    holder, held = source, None
    if not _are_classes(train, [*validation, *test], others, tree):
        for path in others:
            notes.add("without images, beside the splits", path)
        if not train:
            raise _bad(f"no folder of training images in `{source}`, beside: {some_of([path.name for path in folders])}", "call it `train`")
        holder = _one_of(train, "training")
        held = _held_out(validation, test, fraction, tree, notes, log)
        folders = _class_folders(holder, tree, notes)
    if not folders:
        raise _no_classes(holder)
    classes = tuple(path.name for path in folders)
    if held is not None:
        _require_known(_class_folders(held, tree, notes), classes, held, log)
    _require_classes(holder, folders, tree)
    _tell_alike(classes, log)
    return Layout(classes, holder, held)


def _are_classes(train: list[Path], held: list[Path], others: list[Path], tree: Tree) -> bool:
    """Return whether all folders are classes, or else splits; TrainingError (BAD_DATA) where it cannot be told.

    A class may be called `train`. Then it has no folders of its own, and only other classes stand beside it.
    """
    if not train and not held:
        return True
    with_images = [path for path in others if tree.may_hold_images(path)]
    if len(train) == 1 and not held and with_images and not tree.children(train[0])[0]:
        return True
    if with_images:
        split = printable((train or held)[0].name)
        raise _bad(
            f"`{split}` may be a split or a class, beside it: {some_of([path.name for path in with_images])}",
            "put all class folders below `train` and `val`, and what is neither outside of the folder",
        )
    return False


def _one_of(folders: list[Path], what: str) -> Path:
    if len(folders) > 1:
        names = some_of([path.name for path in folders])
        raise _bad(f"more than one folder of {what} images in `{folders[0].parent}`: {names}", "keep one of them there")
    return folders[0]


def _held_out(
    validation: list[Path], test: list[Path], fraction: float | None, tree: Tree, notes: Notes, log: Callable[[str], None]
) -> Path | None:
    """Return the folder of validation images, that of test images where it is the only one, or None."""
    if validation:
        held = _one_of(validation, "validation")
        if fraction is not None:
            raise TrainingError(f"--validation-fraction is not for a folder that has its own: {held}", None, ExitCode.USAGE)
    elif test and fraction is None and tree.children(test[0])[0]:
        held = _one_of(test, "test")
        log(f"used for validation, since there is no other such folder: {printable(held)}")
    else:
        held = None
    for path in test:
        if path != held:
            notes.add("test images" if validation or fraction is not None else "test images without class folders", path)
    return held


def _class_folders(folder: Path, tree: Tree, notes: Notes) -> list[Path]:
    """Return the folders in a folder; what else is there is noted, and a link that leads nowhere refused: it may be a class."""
    folders, others = tree.children(folder)
    for path in others:
        if path.is_symlink() and not path.exists():
            raise _bad(f"{DANGLING}: {printable(path)}", "mount what it leads to, or remove it")
        notes.add("beside the class folders", path)
    return folders


def _require_classes(holder: Path, folders: Sequence[Path], tree: Tree) -> None:
    inside = {path: tree.children(path) for path in folders}
    subs = [frozenset(sub.name for sub in sub_folders) for sub_folders, _ in inside.values()]
    if len(folders) == 1:
        hint = f"if the classes are the sub-folders, name that folder: {folders[0]}" if len(subs[0]) > 1 else "a classifier needs two"
        raise _bad(f"one class only in `{holder}`: {printable(folders[0].name)}", hint)
    _require_not_above(folders, subs, [bool(files) for _, files in inside.values()])


def _require_not_above(folders: Sequence[Path], subs: Sequence[frozenset[str]], direct: Sequence[bool]) -> None:
    """Raise TrainingError (BAD_DATA) where folders look like splits, years or folds that stand above the classes.

    `subs` has the names of each folder's sub-folders, `direct` whether it holds files itself.
    """
    roles = [_role_in(path.name) for path in folders]
    if None not in roles and len(set(roles)) > 1:
        called = some_of([path.name for path in folders])
        raise _bad(f"all folders are called after splits: {called}", "call splits `train` and `val`, and put class folders there")
    only_above = [not files and len(names) > 1 for files, names in zip(direct, subs, strict=True)]
    for at, (path, inside) in enumerate(zip(folders, subs, strict=True)):
        shared = any(other != at and only_above[other] and len(inside & subs[other]) > 1 for other in range(len(folders)))
        split_inside = len({_role_of(name) for name in inside} - {None}) > 1
        if (only_above[at] and shared) or split_inside or (inside and roles[at] is not None and not direct[at]):
            raise _bad(
                f"class folders or another level above them? `{path}` holds: {some_of(sorted(inside))}",
                "the folder must hold the class folders, or `train` and `val` that hold them",
            )


def _role_of(name: str) -> int | None:
    """Return which of the splits a folder is called after, None where none."""
    return next((role for role, names in enumerate(SPLIT_NAMES) if name.casefold() in names), None)


def _role_in(name: str) -> int | None:
    """Return which of the splits is a word of a folder's name: `training_set`, `seg_test`, `val2017`.

    >>> [_role_in(name) for name in ("training_set", "seg_test", "val2017", "trains", "freight")]
    [0, 2, 1, None, None]
    """
    return next((role for word in re.split(r"[^a-z]+", name.casefold()) if (role := _role_of(word)) is not None), None)


def _require_known(folders: Sequence[Path], classes: Sequence[str], held: Path, log: Callable[[str], None]) -> None:
    """Every class of the validation images must be one of the training's; log says which have none."""
    names = {path.name for path in folders}
    if not names:
        raise _no_classes(held)
    if unknown := sorted(names - set(classes)):
        raise _bad(f"a class of `{held}` has no training images: {printable(unknown[0])}", None)
    if missing := [name for name in classes if name not in names]:
        log(f"classes without a folder in `{printable(held)}`, {len(missing)} of {len(classes)}: {some_of(missing)}")


def _tell_alike(classes: Sequence[str], log: Callable[[str], None]) -> None:
    """Log classes whose names a person, or another file system, takes for the same."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log(f"two classes or one? their names differ by case or accents alone: {some_of(names)}")


def _no_classes(folder: Path) -> TrainingError:
    return TrainingError(f"no class folders in: {folder}", "each class is a sub-folder that holds its images", ExitCode.NO_DATA)


def _bad(message: str, hint: str | None) -> TrainingError:
    return TrainingError(message, hint, ExitCode.BAD_DATA)
