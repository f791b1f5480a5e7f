"""What an output folder holds before a dataset is written there: nothing, a dataset of ours, or files from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from common.data.journal import Journal
from common.data.listing import SYSTEM_FOLDERS
from common.data.manifest import INDEX_FILE, JOURNAL_FILE, MANIFEST_FILE, Manifest, loads
from common.data.names import some_of
from common.data.shards import is_record_file
from common.errors import TrainingError
from common.files import partial_of
from mlops_launch.contract import ExitCode


class Found(NamedTuple):
    """The manifest of a finished dataset of ours, or the journal of an unfinished one, and the names of the files that we wrote."""

    manifest: Manifest | None
    journal: Journal | None
    files: frozenset[str]

    @property
    def is_ours(self) -> bool:
        """Whether a preparer has written there."""
        return self.manifest is not None or self.journal is not None

    def is_whole(self, output: Path) -> bool:
        """Return whether the finished dataset has all its files, in their sizes."""
        if self.manifest is None or not (output / INDEX_FILE).is_file():
            return False
        shards = [shard for split in self.manifest.splits.values() for shard in split]
        return all((output / shard.name).is_file() and (output / shard.name).stat().st_size == shard.bytes for shard in shards)

    def remove(self, output: Path) -> None:
        """Remove what we wrote, the manifest first: without it the folder is not a dataset. The journal stays."""
        for name in (MANIFEST_FILE, INDEX_FILE, *sorted(self.files - {MANIFEST_FILE, INDEX_FILE, JOURNAL_FILE})):
            (output / name).unlink(missing_ok=True)
            partial_of(output / name).unlink(missing_ok=True)


def look(output: Path) -> Found:
    """Return what a folder holds.

    Ours is what has a manifest or a journal that says by which preparer, and of such a folder the files named there.

    Raises TrainingError (CANNOT_CREATE) for a folder with files from elsewhere that would be in the way.
    """
    names = {path.name for path in output.iterdir() if not path.name.startswith(".") and path.name.casefold() not in SYSTEM_FOLDERS}
    manifest = _manifest(output) if MANIFEST_FILE in names else None
    journal = Journal.read(output) if JOURNAL_FILE in names else None
    files = {JOURNAL_FILE} if journal is not None else set()
    if manifest is not None:
        files |= {MANIFEST_FILE, INDEX_FILE, *(shard.name for split in manifest.splits.values() for shard in split)}
    if journal is not None:
        files |= {MANIFEST_FILE, INDEX_FILE, *journal.files}
    found = Found(manifest, journal, frozenset(files))
    # Beside a dataset of ours a person may keep a note, but not records, and no manifest that is another's.
    foreign = sorted(name for name in names - files if not found.is_ours or _is_in_the_way(name))
    if foreign:
        raise TrainingError(
            f"the output folder `{output}` holds files from elsewhere: {some_of(foreign)}", "choose an empty folder", ExitCode.CANNOT_CREATE
        )
    return found


def _is_in_the_way(name: str) -> bool:
    return name in (MANIFEST_FILE, INDEX_FILE, JOURNAL_FILE) or is_record_file(name)


def _manifest(output: Path) -> Manifest | None:
    """Return the manifest where a preparer of ours wrote it; one that is damaged or another's does not make a folder ours."""
    path = output / MANIFEST_FILE
    try:
        manifest = loads(path.read_text(encoding="utf-8"), path)
    except (TrainingError, UnicodeDecodeError):
        return None
    return manifest if "preparer" in manifest.made_by else None
