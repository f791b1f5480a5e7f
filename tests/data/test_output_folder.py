"""Where a dataset is written: what we wrote is known again and replaced, and nothing else is ever touched."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.data import prepare
from common.data.dataset import open_dataset
from common.data.manifest import load
from common.data.sizes import size_text
from common.errors import TrainingError

Outcome = tuple[int, str]


@pytest.fixture
def source(tmp_path: Path, encoded_images: list[bytes]) -> Path:
    folder = tmp_path / "source"
    for at, name in enumerate("ab"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            (folder / name / f"{number}.jpg").write_bytes(encoded_images[2 * at + 4 * number])
    return folder


def call(capsys: pytest.CaptureFixture[str], source: Path, output: Path, *flags: str) -> Outcome:
    """Prepare without held-out images; return the exit code and the first line on stderr."""
    code = prepare.main(["folder", str(source), "--output", str(output), "--validation-fraction", "0", *flags])
    return code, (capsys.readouterr().err.splitlines() or [""])[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.parametrize("where", ["tfrecords", "a/tfrecords", ".hidden", ".", "link"])
def test_an_output_inside_of_the_source_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "link").symlink_to(source)
    output = tmp_path / "link" / "tfrecords" if where == "link" else source / where
    before = sorted(source.rglob("*"))
    for flags in ([], ["--force"]):
        assert call(capsys, source, output, *flags) == (64, f"Error: the output folder is inside of the source: {output}")
    assert sorted(source.rglob("*")) == before


FOREIGN = {
    "someone's manifest": ("manifest.json", '{"name": "my app", "version": 3}'),
    "another project's manifest of shards": ("manifest.json", '{"schema": 1, "splits": {}}'),
    "a list": ("manifest.json", "[]"),
    "no JSON": ("manifest.json", "\x00"),
    "someone's journal": ("unfinished.json", '{"schema": 1}'),
    "records": ("train-00000-of-00001", "x"),
    "records of another suffix": ("val-0-of-1.tfrecord", "x"),
    "an index": ("index.npy", "x"),
    "a letter": ("letter.txt", "Dear Sir"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("flags", [[], ["--force"]])
def test_a_folder_that_is_not_ours_is_refused_and_kept(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, flags: list[str]
) -> None:
    output = tmp_path / "data"
    output.mkdir()
    (output / FOREIGN[name][0]).write_text(FOREIGN[name][1])
    before = contents(output)
    assert call(capsys, source, output, *flags) == (
        73,
        f"Error: the output folder `{output}` holds files from elsewhere: {FOREIGN[name][0]}",
    )
    assert contents(output) == before


@pytest.mark.parametrize("name", ["train-00000-of-00009", "validation-part", "unfinished.json"])
def test_foreign_records_beside_a_dataset_of_ours_are_never_removed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    output = tmp_path / "data"
    assert call(capsys, source, output) == (0, "")
    (output / name).write_text("theirs")
    (output / "note.txt").write_text("a person's")
    before = contents(output)
    assert call(capsys, source, output, "--force") == (73, f"Error: the output folder `{output}` holds files from elsewhere: {name}")
    assert contents(output) == before


def test_a_dataset_of_ours_is_replaced_on_request_and_a_note_beside_it_stays(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "data"
    assert call(capsys, source, output, "--shards", "3") == (0, "")
    (output / "note.txt").write_text("a person's")
    assert call(capsys, source, output)[0] == 73
    assert call(capsys, source, output, "--force") == (0, "")
    assert sorted(contents(output)) == ["index.npy", "manifest.json", "note.txt", "train-00000-of-00001"]


@pytest.mark.parametrize("lost", ["train-00000-of-00002", "index.npy"])
def test_a_dataset_that_lost_a_file_is_written_again(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str) -> None:
    output = tmp_path / "data"
    assert call(capsys, source, output, "--shards", "2") == (0, "")
    before = contents(output)
    (output / lost).unlink()
    assert call(capsys, source, output, "--shards", "2") == (0, f"not whole any more, written again: {output}")
    assert contents(output) == before
    assert call(capsys, source, output, "--shards", "2") == (0, f"already complete: {output}")


def test_a_volume_of_its_own_may_hold_what_its_file_system_puts_there(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "lost+found").mkdir(parents=True)
    (tmp_path / "data" / ".snapshot").mkdir()
    assert call(capsys, source, tmp_path / "data") == (0, "")


def test_a_class_whose_images_are_all_broken_is_refused_even_when_they_may_be_left_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (source / "b").iterdir():
        path.write_bytes(b"no image")
    code = prepare.main(["folder", str(source), "--output", str(tmp_path / "data"), "--validation-fraction", "0", "--skip-broken"])
    assert code == 65
    assert "Error: no whole training image is left of 1 of 2 classes: b" in capsys.readouterr().err.splitlines()
    with pytest.raises(TrainingError, match="^the dataset is not complete"):
        load(tmp_path / "data")


class Killed(BaseException):
    """Ends the work at once."""


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 74),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 74),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), 74),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), 73),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), 73),
        (Killed(), None),
    ],
    ids=["full", "dead", "gone", "forbidden", "read-only", "killed"],
)
def test_whichever_write_fails_nothing_looks_complete_and_the_same_command_completes_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: BaseException, code: int | None
) -> None:
    """Every call that opens, flushes, renames or removes a file fails once: the first, the second, … until none is left to fail."""
    assert call(capsys, source, tmp_path / "whole", "--shards", "2") == (0, "")
    whole = contents(tmp_path / "whole")
    for last in itertools.count(1):
        output = tmp_path / f"data{last}"
        output.mkdir()
        failed = ended = None
        with failing_at(last, failure) as calls:
            try:
                ended = prepare.main(["folder", str(source), "--output", str(output), "--validation-fraction", "0", "--shards", "2"])
            except Killed as killed:
                failed = killed
        capsys.readouterr()
        if len(calls) < last:
            assert ended == 0 and last > 20
            break
        if (output / "manifest.json").exists():
            # Only its journal could not be removed any more.
            assert open_dataset(output).images("train") == 6
        else:
            assert ended == code and (failed is not None) == (code is None)
            with pytest.raises(TrainingError):
                open_dataset(output, classes=2, log=lambda line: None)
        assert call(capsys, source, output, "--shards", "2")[0] == 0
        assert contents(output) == whole


@contextmanager
def failing_at(last: int, failure: BaseException) -> Iterator[list[str]]:
    """Let call number `last` of those that change a folder fail; yield the list of the calls so far."""
    calls: list[str] = []

    def failpoint(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call_(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & os.O_CREAT:
                calls.append(name)
                if len(calls) == last:
                    raise failure
            return real(*arguments, **options)

        return call_

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fsync", "replace", "unlink"):
            patch.setattr(os, name, failpoint(name, getattr(os, name)))
        yield calls


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["manifest.json", "unfinished.json"]))
def test_whatever_a_side_file_holds_a_preparation_ends_with_words(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject, name: str
) -> None:
    """Any value in any place of a manifest or a journal: complete, refused, or done anew; never a traceback, never a foreign file gone."""
    output = tmp_path / "data"
    if not (output / "kept").exists():
        assert call(capsys, source, output) == (0, "")
        (output / "kept").write_bytes((output / "manifest.json").read_bytes())
    fields = json.loads((output / "kept").read_bytes())
    if name == "unfinished.json":
        shards = {
            shard["name"]: {"shard": shard, "smallest": [1, 1], "largest": [1, 1], "encodings": [], "labels": [0, 1], "skipped": []}
            for shard in fields["splits"]["train"]["shards"]
        }
        fields = {"schema": 1, "made_by": fields["made_by"], "files": [], "shards": shards}
    place = data.draw(st.sampled_from(list(places(fields))))
    put(fields, place, data.draw(JSON))
    for other in ("manifest.json", "unfinished.json"):
        (output / other).unlink(missing_ok=True)
    (output / name).write_text(json.dumps(fields))
    code, line = call(capsys, source, output)
    assert (code == 0) == (not line.startswith("Error: ")) and code in (0, 65, 73)
    if code == 0:
        assert open_dataset(output, log=lambda line: None).images("train") == 6
    else:
        # For the next example.
        for path in output.iterdir():
            if path.name != "kept":
                path.unlink()
        (output / "kept").rename(tmp_path / "kept")
        assert call(capsys, source, output) == (0, "")
        (tmp_path / "kept").rename(output / "kept")


def places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inner for place in [(*at, key), *places(part, (*at, key))]]


def put(fields: dict[str, object], place: tuple[str | int, ...], value: object) -> None:
    inner: object = fields
    for key in place[:-1]:
        inner = inner[key]  # type: ignore[index]
    inner[place[-1]] = value  # type: ignore[index]


@given(st.integers(0, 2**60))
def test_a_size_has_a_number_below_1024_and_a_unit(size: int) -> None:
    number, unit = size_text(size).split()
    assert unit == "TiB" or float(number) < 1024
    assert (float(number) > 0) == (size > 0)
