"""Writes a dataset folder: shard by shard, to be killed at any moment and continued by the same call."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from common.data import records
from common.data.journal import Journal, Written
from common.data.manifest import INDEX_FILE, JOURNAL_FILE, MANIFEST_FILE, TRAIN, VALIDATION, Manifest, dumps
from common.data.names import some_of
from common.data.order import rank_slice
from common.data.output_folder import Found, look
from common.data.progress import Progress
from common.data.shard_writer import load_images, write_shard
from common.data.shards import shard_name
from common.data.sizes import size_text
from common.data.source import Content, Item, Source
from common.errors import TrainingError
from common.files import io_error, replace_file
from mlops_launch.contract import ExitCode

SHARD_BYTES: Final = 128 << 20


def write_dataset(source: Source, output: Path, *, force: bool, skip_broken: bool, threads: int, log: Callable[[str], None]) -> Manifest:
    """Write the dataset of `source` to the folder `output`, or what is missing of it, and return its manifest.

    A dataset that is there already is not touched, and log says so. Of an unfinished one the shards whose checksums fit
    are kept. `force` writes over another dataset.

    Raises TrainingError: CANNOT_CREATE for a folder that cannot be written or holds something else, IO_ERROR for a full
    disk, BAD_DATA for a broken image without `skip_broken`, USAGE for more shards than images.
    """
    with _locked(output):
        found = look(output)
        if found.manifest is not None and found.manifest.made_by == source.made_by and not force:
            if found.is_whole(output):
                if found.journal is not None:
                    # A call that was killed after the manifest, its last file but one.
                    (output / JOURNAL_FILE).unlink()
                log(f"already complete: {output}")
                return found.manifest
            log(f"not whole any more, written again: {output}")
            force = True
        journal = _continued(found, source)
        if journal is None:
            journal = _cleared(found, source, output, force)
        else:
            log(f"continuing an interrupted preparation: {output}")
        content = source.read()
        plan = _plan(source, content)
        journal.files |= set(plan)
        journal.save()
        _check_room(output, content, sum((output / name).stat().st_size for name in plan if (output / name).is_file()))
        written = _write_shards(source, plan, output, journal, skip_broken, threads, log)
        manifest = _manifest(source, content, written)
        shards = [shard for split in (TRAIN, VALIDATION) for shard in manifest.splits.get(split, ())]
        index = np.concatenate([records.scan(output / shard.name).lengths for shard in shards])
        replace_file(output / INDEX_FILE, lambda file: file.write(_npy(index)))
        replace_file(output / MANIFEST_FILE, lambda file: file.write(dumps(manifest).encode()))
        (output / JOURNAL_FILE).unlink()
        return manifest


def _continued(found: Found, source: Source) -> Journal | None:
    """Return the journal of an unfinished dataset that is the one of `source`."""
    same = found.journal is not None and found.manifest is None and found.journal.made_by == source.made_by
    return found.journal if same else None


def _cleared(found: Found, source: Source, output: Path, force: bool) -> Journal:
    """Make the folder ready for a new dataset; only files that an earlier call has written are ever removed."""
    if found.is_ours and not force:
        raise TrainingError(
            f"the output folder holds another dataset, or one prepared with other settings: {output}",
            "choose another folder with --output, or write over it with --force",
            ExitCode.CANNOT_CREATE,
        )
    # The journal comes first: from here on the folder counts as unfinished.
    journal = Journal(output, source.made_by, found.files)
    journal.save()
    found.remove(output)
    return journal


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Make the folder and keep others from preparing it at the same time; errors of writing become TrainingErrors."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(
                    f"another process prepares a dataset there: {output}", "wait for it, or choose another folder", ExitCode.CANNOT_CREATE
                ) from None
            yield
        finally:
            os.close(folder)
    except OSError as error:
        raise io_error(error, f"write the output folder: {output}") from error


def _plan(source: Source, content: Content) -> dict[str, tuple[str, Sequence[Item]]]:
    """Return for each shard its split and its images, in a fixed random order, so that each shard has images of all classes."""
    training = len(content.splits[TRAIN])
    shards = source.shards or max(1, min(training, -(-content.bytes // SHARD_BYTES)))
    if shards > training:
        raise TrainingError(f"more shards than the {training} training images: {shards}", "use fewer --shards", ExitCode.USAGE)
    plan: dict[str, tuple[str, Sequence[Item]]] = {}
    for split, items in content.splits.items():
        count = -(-shards * len(items) // training)
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(items))
        for number in range(count):
            start, stop = rank_slice(0, len(items), number, count)
            plan[shard_name(split, number, count)] = (split, [items[at] for at in order[start:stop]])
    return plan


def _check_room(output: Path, content: Content, there: int) -> None:
    free, needed = shutil.disk_usage(output).free, content.bytes - there
    if free < needed:
        raise TrainingError(
            f"not enough room in `{output}`, about {size_text(needed)} are needed: {size_text(free)}",
            "make room, or choose another folder with --output",
            ExitCode.IO_ERROR,
        )


def _write_shards(
    source: Source,
    plan: dict[str, tuple[str, Sequence[Item]]],
    output: Path,
    journal: Journal,
    skip_broken: bool,
    threads: int,
    log: Callable[[str], None],
) -> dict[str, list[Written]]:
    written: dict[str, list[Written]] = {}
    progress = Progress("images", sum(len(items) for _, items in plan.values()))
    with ThreadPoolExecutor(threads) as pool:
        try:
            for name, (split, items) in plan.items():
                shard = journal.finished(name)
                if shard is None:
                    images = load_images(pool, items, progress)
                    shard = write_shard(output / name, images, source.label_offset, skip_broken, log)
                    journal.add(shard)
                else:
                    progress.add(len(items))
                written.setdefault(split, []).append(shard)
        finally:
            progress.close()
    return written


def _npy(array: npt.NDArray[np.int64]) -> bytes:
    """Return the content of a .npy file. Written by numpy itself, a full disk would be an error without a reason."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _manifest(source: Source, content: Content, written: dict[str, list[Written]]) -> Manifest:
    every = [shard for shards in written.values() for shard in shards]
    used = [shard for shard in every if shard.shard.images]
    splits = {split: tuple(shard.shard for shard in shards if shard.shard.images) for split, shards in written.items()}
    trained = {label for shard in written[TRAIN] for label in shard.labels}
    if lost := [name for label, name in enumerate(content.classes) if label not in trained]:
        raise TrainingError(
            f"no whole training image is left of {len(lost)} of {len(content.classes)} classes: {some_of(lost)}",
            "add images of these classes, or leave their folders out",
            ExitCode.BAD_DATA,
        )
    encodings = sorted({encoding for shard in used for encoding in shard.encodings})
    return Manifest(
        name=source.name,
        classes=content.classes,
        label_offset=source.label_offset,
        encoding=encodings[0] if len(encodings) == 1 else "mixed",
        channels=3,
        smallest=(min(shard.smallest[0] for shard in used), min(shard.smallest[1] for shard in used)),
        largest=(max(shard.largest[0] for shard in used), max(shard.largest[1] for shard in used)),
        mean=content.mean,
        std=content.std,
        splits={split: shards for split, shards in splits.items() if shards},
        made_by=source.made_by,
        skipped=tuple(name for shard in every for name in shard.skipped),
        damaged=tuple(name for shard in every for name in shard.damaged),
    )
