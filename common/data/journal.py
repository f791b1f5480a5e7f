"""The state of an unfinished dataset folder: what is being written, and which shards are done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data.manifest import JOURNAL_FILE, SCHEMA, Shard
from common.files import replace_file


@dataclass(frozen=True)
class Written:
    """A finished shard and what its images are like: least and greatest height and width, encodings, labels, files left out, damaged."""

    shard: Shard
    smallest: tuple[int, int]
    largest: tuple[int, int]
    encodings: tuple[str, ...]
    labels: tuple[int, ...]
    skipped: tuple[str, ...]
    damaged: tuple[str, ...] = ()


class Journal:
    """unfinished.json: written anew after each shard, removed once the manifest is there.

    Attributes:
        made_by: the preparer and what decides its output.
        files: the names of all files that are to be written, or were there before and are to be removed.
    """

    def __init__(self, folder: Path, made_by: Mapping[str, Any], files: Iterable[str] = ()) -> None:
        self.made_by = dict(made_by)
        self.files = set(files)
        self._folder = folder
        self._done: dict[str, Written] = {}

    @classmethod
    def read(cls, folder: Path) -> Journal | None:
        """Return what an earlier call has left, None where it is not legible as a journal of ours."""
        try:
            fields = json.loads((folder / JOURNAL_FILE).read_text(encoding="utf-8"))
            if fields["schema"] != SCHEMA or "preparer" not in fields["made_by"]:
                return None
            journal = cls(folder, fields["made_by"], map(str, fields["files"]))
            for name, entry in fields["shards"].items():
                journal._done[name] = Written(
                    Shard(**entry["shard"]),
                    (int(entry["smallest"][0]), int(entry["smallest"][1])),
                    (int(entry["largest"][0]), int(entry["largest"][1])),
                    tuple(map(str, entry["encodings"])),
                    tuple(map(int, entry["labels"])),
                    tuple(map(str, entry["skipped"])),
                    tuple(map(str, entry.get("damaged", ()))),
                )
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
        return journal

    def finished(self, name: str) -> Written | None:
        """Return a shard that an earlier call finished, where its file still has the size and the checksum; otherwise None."""
        written = self._done.get(name)
        if written is None:
            return None
        path = self._folder / name
        try:
            whole = path.stat().st_size == written.shard.bytes and sha256(path) == written.shard.sha256
        except FileNotFoundError:
            return None
        return written if whole else None

    def save(self) -> None:
        """Write the journal."""
        shards = {name: dataclasses.asdict(written) for name, written in self._done.items()}
        text = json.dumps({"schema": SCHEMA, "made_by": self.made_by, "files": sorted(self.files), "shards": shards})
        replace_file(self._folder / JOURNAL_FILE, lambda file: file.write(text.encode()))

    def add(self, written: Written) -> None:
        """Note a finished shard."""
        self._done[written.shard.name] = written
        self.save()


def sha256(path: Path) -> str:
    """Return the checksum of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
