"""The files below a folder of images: what is used, what is left out and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from common.data.names import printable, some_of
from common.data.records import unreadable
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

# Folders that an operating system, an archiver or a file server puts beside a person's own.
SYSTEM_FOLDERS: Final = frozenset(("__macosx", "@eadir", "lost+found", "$recycle.bin", "#recycle", "system volume information"))

IMAGE_SUFFIXES: Final = frozenset(("", ".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".ppm"))

DANGLING: Final = "a link that leads nowhere"
SPECIAL: Final = "neither a file nor a folder"


class Notes:
    """What is left out, by reason: told with counts and a few names."""

    def __init__(self, source: Path) -> None:
        self._source = source
        # The second mapping's keys are paths: a folder may be looked at more than once.
        self._paths: dict[str, dict[Path, None]] = {}

    def add(self, reason: str, path: Path) -> None:
        """Note a file or folder that is not used."""
        self._paths.setdefault(reason, {})[path] = None

    def tell(self, log: Callable[[str], None]) -> None:
        """Log a line for each reason."""
        for reason, paths in self._paths.items():
            log(f"left out, {reason}, {len(paths)}: {some_of([self._name(path) for path in paths])}")

    def _name(self, path: Path) -> str:
        """Return how a path is named: below the source, a folder with the number of its files."""
        name = str(path.relative_to(self._source))
        if path.is_symlink() or not path.is_dir():
            return name
        return f"{name} ({sum(len(files) for _, _, files in os.walk(path))} in it)"


class Entry(NamedTuple):
    """A file of a class: `problem` says why it cannot be an image, empty where it may be one."""

    path: Path
    bytes: int
    changed: int
    problem: str


class Tree:
    """Lists the folders below a source, each of them once however many links lead to it."""

    def __init__(self, source: Path, notes: Notes) -> None:
        self._source = source
        self._notes = notes
        self._seen: dict[tuple[int, int], Path] = {}

    def may_hold_images(self, folder: Path) -> bool:
        """Return whether a file with the name of an image, or without a suffix, is in a folder or below it."""
        return any(path.suffix.casefold() in IMAGE_SUFFIXES for path in self._names_below(folder, set()))

    def _names_below(self, folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
        status = folder.stat()
        if (identity := (status.st_dev, status.st_ino)) not in seen:
            seen.add(identity)
            folders, others = self.children(folder)
            yield from others
            for sub in folders:
                yield from self._names_below(sub, seen)

    def children(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Return the folders and the other entries of a folder, each sorted by name; what is hidden or the system's is noted.

        Raises TrainingError (IO_ERROR) where it cannot be read.
        """
        folders, others = [], []
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except OSError as error:
            raise unreadable(folder, error) from error
        for name in names:
            path = folder / name
            if name.startswith("."):
                self._notes.add("hidden", path)
            elif not path.is_dir():
                others.append(path)
            elif name.casefold() in SYSTEM_FOLDERS:
                self._notes.add("put there by a system", path)
            else:
                folders.append(path)
        return folders, others

    def files(self, folder: Path) -> Iterator[Entry]:
        """Yield the files of a folder and of all below it, sorted by name.

        Raises TrainingError: BAD_DATA for a folder that is listed a second time, IO_ERROR for one that cannot be read.
        """
        yield from self._files(folder, ())

    def _files(self, folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
        try:
            status = folder.stat()
        except OSError as error:
            raise unreadable(folder, error) from error
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            self._notes.add("a link to a folder above it", folder)
            return
        if identity in self._seen:
            first, second = (printable(path.relative_to(self._source)) for path in (self._seen[identity], folder))
            raise TrainingError(
                f"two names for one folder, its images would be used twice: {first}, {second}", "remove the link", ExitCode.BAD_DATA
            )
        self._seen[identity] = folder
        folders, others = self.children(folder)
        for path in others:
            yield _entry(path)
        for sub in folders:
            yield from self._files(sub, (*above, identity))


def _entry(path: Path) -> Entry:
    try:
        status = path.stat()
    except OSError as error:
        if path.is_symlink():
            return Entry(path, 0, 0, DANGLING)
        raise unreadable(path, error) from error
    return Entry(path, status.st_size, status.st_mtime_ns, "" if stat.S_ISREG(status.st_mode) else SPECIAL)
