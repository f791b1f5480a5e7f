"""A checkpoint that is not as it was saved is never resumed from, and is never the reason for a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from common.checkpoint import Checkpoints
from common.checkpoint_file import Damaged, Tensors, decode, encode
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

CONFIGURATION = {"model": "tiny", "seed": 0, "sha256": "a field may have any name"}


def tensors(step: int) -> Tensors:
    return {
        "weights/a": np.full((2, 3), step, np.float32),
        "momentum/b": np.arange(step, step + 6).reshape(2, 3).T,  # not as it lies in memory
        "scalar": np.array(float(step)),
    }


def content(step: int) -> bytes:
    return b"".join(encode(step, CONFIGURATION, tensors(step)))


def checkpoints(output: Path, keep: int = 3, said: list[str] | None = None) -> Checkpoints:
    """Return a run's checkpoints; what they say is added to `said`."""
    return Checkpoints(output, CONFIGURATION, keep, (said if said is not None else []).append)


def place(output: Path, **files: bytes) -> None:
    """Write files step-<number> with a content each."""
    (output / "checkpoints").mkdir()
    for name, data in files.items():
        (output / "checkpoints" / name_of(int(name.removeprefix("step_")))).write_bytes(data)


def name_of(step: int) -> str:
    return f"step-{step:08d}.safetensors"


def names(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").iterdir())


def resumed(output: Path, keep: int = 3) -> tuple[int | None, list[str]]:
    """Return the step that a run would resume from, and what it said."""
    said: list[str] = []
    found = checkpoints(output, keep, said).newest()
    if found is not None:
        assert found.tensors.keys() == tensors(found.step).keys()
        assert all(np.array_equal(found.tensors[name], tensor) for name, tensor in tensors(found.step).items())
    return (None if found is None else found.step), said


def refused(output: Path) -> tuple[str, str | None, int]:
    with pytest.raises(TrainingError) as caught:
        checkpoints(output).newest()
    return caught.value.message, caught.value.hint, caught.value.code


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, which pytest's own are not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class TestFile:
    def test_it_is_a_safetensors_file_with_what_was_saved(self, tmp_path: Path) -> None:
        path = checkpoints(tmp_path).save(20, tensors(20))
        assert path == tmp_path / "checkpoints" / "step-00000020.safetensors"
        assert {name: tensor.tolist() for name, tensor in load_file(path).items()} == {
            name: tensor.tolist() for name, tensor in tensors(20).items()
        }
        assert resumed(tmp_path) == (20, [])

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
    def test_its_mode_follows_the_umask(self, tmp_path: Path, umask: int, mode: int) -> None:
        before = os.umask(umask)
        try:
            path = checkpoints(tmp_path).save(20, tensors(20))
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == mode

    def test_one_of_format_1_is_resumed(self, tmp_path: Path) -> None:
        saved = {name: np.ascontiguousarray(tensor) for name, tensor in tensors(20).items() if tensor.ndim}
        digest = hashlib.sha256()
        for name in sorted(saved):
            digest.update(f"{name} {saved[name].dtype.str} {saved[name].shape}\n".encode())
            digest.update(saved[name].tobytes())
        metadata = {"format": "1", "step": "20", "sha256": digest.hexdigest(), "configuration": json.dumps(CONFIGURATION)}
        place(tmp_path)
        save_file(saved, tmp_path / "checkpoints" / name_of(20), metadata=metadata)
        found = checkpoints(tmp_path).newest()
        assert found is not None
        assert (found.step, sorted(found.tensors)) == (20, ["momentum/b", "weights/a"])

    def test_a_whole_one_of_a_later_format_is_refused_and_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as later:
            later.setattr("common.checkpoint_file.FORMAT", "3")
            place(tmp_path, step_10=content(10), step_20=content(20))
        assert refused(tmp_path) == (
            "checkpoint step-00000020.safetensors is of a format that this version cannot read: 3",
            "use the version that wrote it, or set another OUTPUT_DIR to start anew",
            ExitCode.CONFIGURATION,
        )
        assert names(tmp_path) == [name_of(10), name_of(20)]


class TestDamage:
    def test_any_bit_of_the_header_flipped_the_one_before_is_used(self, tmp_path: Path) -> None:
        whole = content(20)
        header = 8 + int.from_bytes(whole[:8], "little")
        place(tmp_path, step_10=content(10))
        path = tmp_path / "checkpoints" / name_of(20)
        for bit in range(8 * header):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)
            step, said = resumed(tmp_path)
            assert (step, len(said)) == (10, 1), (bit, said)
            assert said[0].startswith(f"warning: checkpoint {path.name} is damaged, set aside as {path.name}.damaged: ")
        assert names(tmp_path) == [name_of(10), name_of(20) + ".damaged"]

    def test_cut_after_any_byte_or_with_a_byte_more_it_is_damaged(self) -> None:
        whole = content(20)
        for data in [whole[:length] for length in range(len(whole))] + [whole + b"\0"]:
            with pytest.raises(Damaged):
                decode(data, "file")

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_any_bytes_replaced_it_is_damaged(self, data: st.DataObject) -> None:
        whole = content(20)
        start = data.draw(st.integers(0, len(whole) - 1))
        end = data.draw(st.integers(start + 1, len(whole)))
        changed = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]
        if changed != whole:
            with pytest.raises(Damaged):
                decode(changed, "file")

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=400), st.booleans())
    def test_any_bytes_at_all_are_damaged(self, data: bytes, prefixed: bool) -> None:
        with pytest.raises(Damaged):
            decode(len(data).to_bytes(8, "little") + data if prefixed else data, "file")

    def test_a_whole_one_under_the_name_of_another_step(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10), step_20=content(15))
        step, said = resumed(tmp_path)
        assert (step, said) == (
            10,
            ["warning: checkpoint step-00000020.safetensors is damaged, set aside as step-00000020.safetensors.damaged: it holds step 15"],
        )

    @pytest.mark.parametrize(
        ("put", "reason"),
        [
            (lambda path: path.mkdir(), "it is not a file"),
            (lambda path: os.mkfifo(path), "it is not a file"),
            (lambda path: path.symlink_to("nothing"), "it is a link to nothing"),
            (lambda path: path.symlink_to(path.name), "it is a link to nothing"),
            (lambda path: path.touch(), "it is empty"),
        ],
        ids=["folder", "fifo", "dangling", "circular", "empty"],
    )
    def test_something_else_under_its_name(self, tmp_path: Path, put: Callable[[Path], None], reason: str) -> None:
        place(tmp_path, step_10=content(10))
        put(tmp_path / "checkpoints" / name_of(20))
        step, said = resumed(tmp_path)
        assert (step, len(said)) == (10, 1)
        assert said[0].endswith(f".damaged: {reason}")

    def test_what_was_set_aside_before_is_in_no_ones_way(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10), step_20=b"")
        (tmp_path / "checkpoints" / f"{name_of(20)}.damaged").touch()
        (tmp_path / "checkpoints" / f"{name_of(20)}.damaged-2").mkdir()
        step, said = resumed(tmp_path)
        assert (step, said) == (10, [f"warning: checkpoint {name_of(20)} is damaged, set aside as {name_of(20)}.damaged-3: it is empty"])

    def test_where_none_is_whole_they_keep_their_names_and_the_run_does_not_start_anew(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10)[:-1], step_20=b"")
        for _ in range(2):
            message, _, code = refused(tmp_path)
            assert (message, code) == (f"no whole checkpoint among 2 in: {tmp_path / 'checkpoints'}", ExitCode.CONFIGURATION)
        assert names(tmp_path) == [name_of(10), name_of(20)]

    def test_without_any_the_run_starts_anew(self, tmp_path: Path) -> None:
        assert resumed(tmp_path) == (None, [])


class TestNoDamage:
    """What the file system refuses says nothing about the file: no older checkpoint takes its place."""

    def test_a_file_that_this_user_may_not_read(self, open_folder: Path) -> None:
        place(open_folder, step_10=content(10), step_20=content(20))
        path = open_folder / "checkpoints" / name_of(20)
        path.chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            message, hint, code = refused(open_folder)
        finally:
            if root:
                os.seteuid(0)
        assert (message, code) == (f"cannot read the checkpoint {path.name}: Permission denied", ExitCode.CANNOT_CREATE)
        assert hint is not None
        assert hint.startswith(f"this process is uid {65534 if root else os.geteuid()} in the groups ")
        assert names(open_folder) == [name_of(10), name_of(20)]

    @pytest.mark.parametrize(
        "make", [lambda path: path.write_text(""), lambda path: path.symlink_to("nothing"), lambda path: path.symlink_to(path)]
    )
    def test_a_name_that_is_not_a_folder_s_is_told_before_anything_is_trained(self, tmp_path: Path, make: Callable[[Path], object]) -> None:
        path = tmp_path / "checkpoints"
        make(path)
        assert refused(tmp_path)[::2] == (f"cannot write to the folder {path}: Not a directory", ExitCode.CANNOT_CREATE)
        assert os.path.lexists(path)

    def test_a_folder_that_this_user_may_not_write_is_told_before_anything_is_trained(self, open_folder: Path) -> None:
        place(open_folder, step_10=content(10))
        (open_folder / "checkpoints").chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.setresuid(65534, 65534, 0)
        try:
            message, _, code = refused(open_folder)
        finally:
            if root:
                os.setresuid(0, 0, 0)
            (open_folder / "checkpoints").chmod(0o755)
        assert (message, code) == (f"cannot write to the folder {open_folder / 'checkpoints'}: Permission denied", ExitCode.CANNOT_CREATE)

    def test_a_device_that_fails(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10))
        (tmp_path / "checkpoints" / name_of(20)).symlink_to("/proc/self/mem")  # its first byte cannot be read: EIO
        message, _, code = refused(tmp_path)
        assert (message, code) == (f"cannot read the checkpoint {name_of(20)}: Input/output error", ExitCode.IO_ERROR)
        assert names(tmp_path) == [name_of(10), name_of(20)]

    def test_another_configuration(self, tmp_path: Path) -> None:
        place(tmp_path, step_20=b"".join(encode(20, CONFIGURATION | {"seed": 7}, tensors(20))))
        assert refused(tmp_path)[::2] == (
            f"checkpoint {name_of(20)} is of another configuration: seed was 7, is 0",
            ExitCode.CONFIGURATION,
        )


class TestFailedSave:
    """A save that fails costs nothing: the checkpoint before is there, and nothing else."""

    def test_without_room(self, tmp_path: Path) -> None:
        run = checkpoints(tmp_path, keep=1)
        run.save(10, tensors(10))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # stands for a full disk
        try:
            with pytest.raises(TrainingError) as caught:
                run.save(20, tensors(20))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (caught.value.message, caught.value.code) == (
            f"cannot write the checkpoint {name_of(20)}: File too large",
            ExitCode.IO_ERROR,
        )
        assert names(tmp_path) == [name_of(10)]
        assert resumed(tmp_path) == (10, [])

    def test_where_there_is_a_folder_of_that_name(self, tmp_path: Path) -> None:
        run = checkpoints(tmp_path, keep=1)
        run.save(10, tensors(10))
        (tmp_path / "checkpoints" / name_of(20)).mkdir()
        with pytest.raises(TrainingError) as caught:
            run.save(20, tensors(20))
        assert (caught.value.message, caught.value.code) == (
            f"cannot write the checkpoint {name_of(20)}: Is a directory",
            ExitCode.CANNOT_CREATE,
        )
        assert resumed(tmp_path)[0] == 10


class TestRetention:
    @pytest.mark.parametrize("keep", [1, 3])
    def test_the_newest_stay(self, tmp_path: Path, keep: int) -> None:
        run = checkpoints(tmp_path, keep)
        for step in (10, 20, 30, 40):
            run.save(step, tensors(step))
        assert names(tmp_path) == [name_of(step) for step in (10, 20, 30, 40)[-keep:]]

    @pytest.mark.parametrize("keep", [1, 3])
    def test_damaged_ones_of_later_steps_push_nothing_out(self, tmp_path: Path, keep: int) -> None:
        place(tmp_path, step_69=content(69), step_110=content(110)[:-9], step_120=content(120)[:-9], step_130=content(130)[:-9])
        said: list[str] = []
        run = checkpoints(tmp_path, keep, said)
        found = run.newest()
        assert (found and found.step, len(said)) == (69, 3)
        aside = [f"{name_of(step)}.damaged" for step in (110, 120, 130)]
        run.save(92, tensors(92))
        # The one resumed from has been read; the new one has not yet.
        assert names(tmp_path) == [name_of(69), name_of(92), *aside]
        run.save(115, tensors(115))
        assert names(tmp_path) == sorted([*([name_of(69), name_of(92)] if keep == 3 else []), name_of(115), *aside])

    def test_an_older_damaged_one_does_not_count(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10), step_20=content(20)[:-9], step_30=content(30)[:-9], step_40=content(40))
        run = checkpoints(tmp_path)
        run.newest()
        run.save(50, tensors(50))
        assert names(tmp_path) == sorted([name_of(10), name_of(40), name_of(50), f"{name_of(20)}.damaged", f"{name_of(30)}.damaged"])

    @pytest.mark.parametrize("put", [lambda path: path.mkdir(), lambda path: path.symlink_to("nothing"), lambda path: path.touch()])
    def test_one_that_is_damaged_while_the_run_lasts_does_not_count(self, tmp_path: Path, put: Callable[[Path], None]) -> None:
        said: list[str] = []
        run = checkpoints(tmp_path, said=said)
        for step in (10, 20, 30):
            path = run.save(step, tensors(step))
        path.unlink()
        put(path)
        run.save(40, tensors(40))
        assert names(tmp_path) == [name_of(10), name_of(20), f"{name_of(30)}.damaged", name_of(40)]
        assert len(said) == 1

    def test_files_of_others_are_neither_counted_nor_removed(self, tmp_path: Path) -> None:
        place(tmp_path, step_5=b"".join(encode(5, {"model": "another"}, tensors(5))), step_10=content(10))
        folder = tmp_path / "checkpoints"
        for name in ("notes.txt", ".hidden", "step-1.safetensors", "step-00000007.safetensors.bak", ".tmp", ".tmp-of-mine"):
            (folder / name).write_text("mine")
        before = set(names(tmp_path))
        run = checkpoints(tmp_path, keep=1)
        run.newest()
        for step in (20, 30, 40):
            run.save(step, tensors(step))
        assert set(names(tmp_path)) == before - {name_of(10)} | {name_of(40)}

    def test_what_killed_saves_have_left_goes(self, tmp_path: Path) -> None:
        place(tmp_path, step_10=content(10))
        for name in (".tmpa1B2c3", ".step-00000020.safetensors.partial", ".step-00000030.safetensors.partial"):
            (tmp_path / "checkpoints" / name).write_bytes(b"half")
        assert resumed(tmp_path) == (10, [])
        assert names(tmp_path) == [name_of(10)]
