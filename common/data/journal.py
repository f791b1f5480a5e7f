"""The state of an unfinished dataset folder: what is being written, and which shards are done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data.manifest import JOURNAL_FILE, SCHEMA, Shard
from common.files import replace_file


@dataclass(frozen=True)
class Written:
    """A finished shard and what its images are like: least and greatest height and width, encodings, files left out."""

    shard: Shard
    smallest: tuple[int, int]
    largest: tuple[int, int]
    encodings: tuple[str, ...]
    skipped: tuple[str, ...]


class Journal:
    """unfinished.json: written anew after each shard, removed once the manifest is there."""

    def __init__(self, folder: Path, made_by: Mapping[str, Any]) -> None:
        self._folder = folder
        self._made_by = dict(made_by)
        self._done: dict[str, Written] = {}

    def load(self) -> bool:
        """Read what an earlier call has left; return False where it made something else, or left no legible journal."""
        try:
            fields = json.loads((self._folder / JOURNAL_FILE).read_text(encoding="utf-8"))
            if fields["schema"] != SCHEMA or fields["made_by"] != self._made_by:
                return False
            for name, entry in fields["shards"].items():
                self._done[name] = Written(
                    Shard(**entry["shard"]),
                    (entry["smallest"][0], entry["smallest"][1]),
                    (entry["largest"][0], entry["largest"][1]),
                    tuple(entry["encodings"]),
                    tuple(entry["skipped"]),
                )
        except (ValueError, KeyError, TypeError):
            return False
        return True

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
        text = json.dumps({"schema": SCHEMA, "made_by": self._made_by, "shards": shards})
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
