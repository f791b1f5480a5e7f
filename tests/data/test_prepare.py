"""The command that writes datasets: what it writes, that it can be killed, and how it says no."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.data import prepare
from common.data.dataset import Dataset, open_dataset
from common.data.sources import FASHION_FOLDER, digit_pixels, digits, fashion_mnist
from mlops_launch import contract

# Of the sorted checksums of their 8x8 pixels: figures of different versions must stay comparable.
HELD_OUT_DIGITS = "8d41ed29d103a374e72defa70ee8a25af45937662d2b81d33b20a89dd0e84e8f"

SCRIPT = Path(prepare.__file__)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of the command."""
    code = prepare.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def result(stdout: str) -> dict[str, str]:
    """Return the fields of the result line, which must be all of stdout, without the time it took."""
    assert stdout.startswith("result ") and stdout.count("\n") == 1
    fields = contract.parse_fields(stdout)
    del fields["seconds"]
    return fields


def contents(folder: Path) -> dict[str, str]:
    """Return the checksum of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def pixels(dataset: Dataset, split: str) -> list[bytes]:
    return [tf.io.decode_image(dataset.read(split, at).encoded).numpy().tobytes() for at in range(dataset.images(split))]


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, written in one go."""
    folder = tmp_path_factory.mktemp("digits")
    assert prepare.main(["digits", "--output", str(folder), "--shards", "40"]) == 0
    return folder


def test_digits_are_1797_images_of_32_pixels_and_no_image_is_in_both_splits(digits_folder: Path) -> None:
    dataset = open_dataset(digits_folder, log=pytest.fail)
    assert (dataset.images("train"), dataset.images("validation"), dataset.classes, dataset.label_offset) == (1412, 385, 10, 0)
    train, validation = pixels(dataset, "train"), pixels(dataset, "validation")
    assert set(train) & set(validation) == set()
    assert {len(image) for image in train + validation} == {32 * 32 * 3}
    labels = [dataset.read("train", at).label for at in range(1412)]
    assert min(np.bincount(labels, minlength=10)) > 120
    gray = np.frombuffer(b"".join(train), np.uint8)
    # They are those of the 8x8 pixels; interpolation takes some contrast away.
    assert gray.mean() == pytest.approx(dataset.mean[0], rel=0.1) and gray.std() == pytest.approx(dataset.std[0], rel=0.1)


def test_the_held_out_digits_are_fixed_forever() -> None:
    images, _ = digit_pixels()
    content = digits(32, None).read()
    held = sorted(hashlib.sha256(images[int(item.name.split()[1])].tobytes()).hexdigest() for item in content.splits["validation"])
    assert len(held) == 385
    assert hashlib.sha256("".join(held).encode()).hexdigest() == HELD_OUT_DIGITS


def test_the_manifest_says_what_is_there(digits_folder: Path) -> None:
    manifest = json.loads((digits_folder / "manifest.json").read_text())
    shards = manifest["splits"]["train"]["shards"] + manifest["splits"]["validation"]["shards"]
    checksums = contents(digits_folder)
    assert {shard["name"]: shard["sha256"] for shard in shards} == {
        name: checksum for name, checksum in checksums.items() if name not in ("manifest.json", "index.npy")
    }
    assert all((digits_folder / shard["name"]).stat().st_size == shard["bytes"] for shard in shards)
    assert (manifest["name"], manifest["encoding"], manifest["channels"]) == ("digits", "png", 3)
    assert (manifest["smallest"], manifest["largest"], manifest["skipped"]) == ([32, 32], [32, 32], [])
    assert manifest["made_by"] == {"preparer": "digits", "size": 32, "shards": 40}


def test_tensorflow_reads_the_files_as_imagenet(digits_folder: Path) -> None:
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string), "image/class/label": tf.io.FixedLenFeature([], tf.int64)}
    files = sorted(str(path) for path in digits_folder.glob("validation-*"))
    parsed = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(files)]
    dataset = open_dataset(digits_folder)
    assert [(one["image/encoded"].numpy(), int(one["image/class/label"])) for one in parsed] == [
        (one.encoded, one.label) for one in (dataset.read("validation", at) for at in range(385))
    ]


def test_a_second_call_changes_nothing_and_says_so(digits_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in digits_folder.iterdir()}
    code, out, err = run(capsys, "digits", "--output", digits_folder, "--shards", 40)
    assert (code, err) == (0, f"already complete: {digits_folder}\n")
    assert result(out) == {
        "dataset": "digits", "train": "1412", "validation": "385", "classes": "10", "label_offset": "0", "skipped": "0",
        "shards": "51", "bytes": str(sum(path.stat().st_size for path in digits_folder.glob("*-of-*"))), "output": str(digits_folder),
    }  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in digits_folder.iterdir()} == before


@pytest.mark.parametrize(("closed", "code"), [(True, 0), (False, 74)])
def test_a_result_that_nobody_reads_or_that_has_no_room_is_not_a_traceback(digits_folder: Path, closed: bool, code: int) -> None:
    read, write = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    call = [sys.executable, str(SCRIPT), "digits", "--output", str(digits_folder), "--shards", "40"]
    done = subprocess.run(call, stdout=write if closed else full, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.close(full)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert done.stderr.startswith(f"already complete: {digits_folder}\n")


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (signal.SIGKILL, -signal.SIGKILL, b""),
        (signal.SIGINT, 143, b"Error: interrupted\n\nhint: the same command resumes where it stopped\n"),
    ],
)
def test_a_preparation_that_was_killed_or_interrupted_resumes_and_ends_with_the_same_files(
    digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sent: signal.Signals, code: int, message: bytes
) -> None:
    output = tmp_path / "data"
    arguments = ["digits", "--output", str(output), "--shards", "40"]
    # A shell's background job, as CI may be one, hands an ignored SIGINT on to what it starts.
    command = ["env", "--default-signal=INT", sys.executable, str(SCRIPT), *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (output / "train-00003-of-00040").exists():
        assert child.poll() is None and time.monotonic() < deadline, child.communicate()
        time.sleep(0.002)
    child.send_signal(sent)
    try:
        stdout, stderr = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (stdout, child.returncode) == (b"", code)
    assert stderr.endswith(message)
    assert not (output / "manifest.json").exists()
    # What was finished is kept, unless it is not what it was.
    kept, damaged = output / "train-00001-of-00040", output / "train-00002-of-00040"
    written = kept.stat().st_mtime_ns
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    code, out, err = run(capsys, *arguments)
    # Where the machine is slow, a line tells how far it is.
    told = [line for line in err.splitlines() if not line.startswith("images ")]
    assert (code, told) == (0, [f"continuing an interrupted preparation: {output}"])
    assert result(out)["train"] == "1412"
    assert kept.stat().st_mtime_ns == written
    assert contents(output) == contents(digits_folder)


def test_another_dataset_is_written_over_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_fashion(tmp_path / "source", 12, 2)
    call = ("fashion-mnist", "--source", tmp_path / "source", "--output", tmp_path / "data")
    assert run(capsys, *call, "--shards", 3)[0] == 0
    before = contents(tmp_path / "data")
    code, out, err = run(capsys, *call, "--shards", 2)
    assert (code, out) == (contract.ExitCode.CANNOT_CREATE, "")
    assert err == (
        f"Error: the output folder holds another dataset, or one prepared with other settings: {tmp_path / 'data'}\n\n"
        "hint: choose another folder with --output, or write over it with --force\n"
    )
    assert contents(tmp_path / "data") == before
    assert run(capsys, *call, "--shards", 2, "--force")[0] == 0
    assert sorted(contents(tmp_path / "data")) == [
        "index.npy", "manifest.json", "train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"
    ]  # fmt: skip


def test_record_files_from_elsewhere_are_never_removed(dataset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(dataset_folder)
    code, _, err = run(capsys, "digits", "--output", dataset_folder, "--force")
    assert code == contract.ExitCode.CANNOT_CREATE
    names = "train-00000-of-00003, train-00001-of-00003, train-00002-of-00003 and 2 more"
    assert err == f"Error: the output folder `{dataset_folder}` holds files from elsewhere: {names}\n\nhint: choose an empty folder\n"
    assert contents(dataset_folder) == before


def test_an_output_that_cannot_be_created_is_exit_code_73(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run(capsys, "digits", "--output", tmp_path / "file" / "data")
    assert (code, out) == (73, "")
    assert err == (f"Error: cannot write the output folder: {tmp_path / 'file' / 'data'}: Not a directory\n\nhint: choose another folder\n")


def test_an_output_without_room_is_exit_code_74(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Images of 100,000 pixels square: 50 TiB.
    code, out, err = run(capsys, "digits", "--output", tmp_path, "--size", 100_000)
    assert (code, out) == (74, "")
    assert err.startswith(f"Error: not enough room in `{tmp_path}`, about 49.0 TiB are needed: ")
    assert err.endswith("hint: make room, or choose another folder with --output\n")


def test_a_file_that_cannot_grow_is_exit_code_74(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A limit on the size of a file stands for a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        code, out, err = run(capsys, "digits", "--output", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == (74, "")
    assert err == (
        f"Error: cannot write the output folder: {tmp_path}: File too large\n\n"
        "hint: raise the limit on the size of a file (`ulimit -f`); the same command then resumes where it stopped\n"
    )
    assert sorted(contents(tmp_path)) == ["unfinished.json"]


def test_two_preparations_of_one_folder_at_a_time_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fcntl

    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        code, _, err = run(capsys, "digits", "--output", tmp_path)
    finally:
        os.close(folder)
    assert code == 73
    assert err == f"Error: another process prepares a dataset there: {tmp_path}\n\nhint: wait for it, or choose another folder\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--shards", "0"], "argument --shards: a whole number above 0 expected: 0"),
        (["digits", "--size", "big"], "argument --size: a whole number above 0 expected: big"),
        (["folder", "x", "--validation-fraction", "1"], "argument --validation-fraction: a number from 0 to below 1 expected: 1"),
        (["folder", "x", "--label-offset", "-1"], "argument --label-offset: a whole number from 0 to 1000000000 expected: -1"),
        (["folder", "x", "--label-offset", "9" * 19], f"argument --label-offset: a whole number from 0 to 1000000000 expected: {'9' * 19}"),
        (["folder"], "the following arguments are required: SOURCE"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_call_is_exit_code_64(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (64, "")
    assert err.startswith(f"Error: {message}\n\nhint: see `prepare.py")


def test_a_name_that_the_file_system_does_not_take_is_an_error_with_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "folder", tmp_path / ("x" * 300), "--output", tmp_path / "data")
    assert (code, out) == (73, "")
    assert err.startswith("Error: cannot prepare the dataset, `") and "File name too long\n\nhint: " in err


def test_more_shards_than_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "digits", "--output", tmp_path, "--shards", 1413)
    assert (code, err) == (64, "Error: more shards than the 1412 training images: 1413\n\nhint: use fewer --shards\n")


def test_the_command_runs_by_its_path_from_any_folder(tmp_path: Path) -> None:
    call = [sys.executable, "-W", "error", str(SCRIPT), "--help"]
    done = subprocess.run(call, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "digits" in done.stdout and "fashion-mnist" in done.stdout and "folder" in done.stdout


# Fashion-MNIST: files of its format with a few images; the package itself is not needed for the test.


@pytest.mark.parametrize("package", ["google_crc32c", "numpy", "tensorflow"])
def test_a_package_that_is_not_installed_is_named_with_a_command_that_installs_it(package: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, str(SCRIPT), "digits", "--output", str(tmp_path / "digits")]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    hint = f"{sys.executable} -m pip install 'mlops-launch[train,data]'"
    said = f"Error: a package is not installed in this Python: {package}\n\nhint: {hint}\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (78, "", said)
    assert not (tmp_path / "digits" / "manifest.json").exists()


def write_fashion(folder: Path, train: int, test: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, images in (("train", train), ("t10k", test)):
        image = struct.pack(">BBBBIII", 0, 0, 8, 3, images, 28, 28) + random.integers(0, 256, images * 784, dtype=np.uint8).tobytes()
        label = struct.pack(">BBBBI", 0, 0, 8, 1, images) + bytes(at % 10 for at in range(images))
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(image))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(label))


def test_fashion_mnist_becomes_jpeg_with_its_own_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_fashion(tmp_path / "source", 30, 7)
    code, out, err = run(capsys, "fashion-mnist", "--source", tmp_path / "source", "--output", tmp_path / "data", "--size", 48)
    assert code == 0
    # MNIST, KMNIST and others come in files of the same names, format and labels.
    assert [line for line in err.splitlines() if not line.startswith("images ")] == [
        f"not the labels of Fashion-MNIST, the classes may be others: {tmp_path / 'source' / name}-labels-idx1-ubyte.gz"
        for name in ("train", "t10k")
    ]
    assert result(out)["train"] == "30" and result(out)["validation"] == "7"
    dataset = open_dataset(tmp_path / "data")
    assert dataset.class_names[9] == "ankle-boot"
    assert sorted(dataset.read("train", at).label for at in range(30)) == sorted(list(range(10)) * 3)
    image = dataset.read("train", 0).encoded
    assert bool(tf.io.is_jpeg(image)) and tf.io.decode_image(image).shape == (48, 48, 3)


def test_without_fashion_mnist_the_hint_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "fashion-mnist", "--source", tmp_path, "--output", tmp_path / "data")
    assert code == 66
    assert err == (
        f"Error: no Fashion-MNIST there, a file is missing: {tmp_path / 'train-images-idx3-ubyte.gz'}\n\n"
        "hint: `apt-get install dataset-fashion-mnist`, or name the folder with --source\n"
    )
    assert not (tmp_path / "data").exists()


def test_labels_that_fashion_mnist_does_not_have_are_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EMNIST comes in files of the same names and format."""
    write_fashion(tmp_path / "source", 30, 7)
    path = tmp_path / "source" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 7) + bytes([0, 1, 26, 3, 4, 5, 6])))
    code, out, err = run(capsys, "fashion-mnist", "--source", tmp_path / "source", "--output", tmp_path / "data")
    assert (code, out) == (65, "")
    assert f"Error: `{path}` is not Fashion-MNIST's, image 2 has a label outside 0-9: 26" in err.splitlines()
    assert not (tmp_path / "data" / "manifest.json").exists()


@pytest.mark.skipif(not FASHION_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_labels_of_fashion_mnist_are_known() -> None:
    said: list[str] = []
    content = fashion_mnist(FASHION_FOLDER, 28, None, said.append).read()
    assert {split: len(items) for split, items in content.splits.items()} == {"train": 60000, "validation": 10000}
    assert said == []


def test_images_that_are_all_alike_are_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_fashion(tmp_path / "source", 30, 7)
    images = struct.pack(">BBBBIII", 0, 0, 8, 3, 30, 28, 28) + bytes([7]) * 30 * 784
    (tmp_path / "source" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    code, out, err = run(capsys, "fashion-mnist", "--source", tmp_path / "source", "--output", tmp_path / "data")
    assert (code, out) == (65, "")
    assert "Error: all pixels of all training images are alike: 7.0" in err.splitlines()


def idx(*sizes: int) -> bytes:
    return gzip.compress(struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"no gzip",
        lambda data: gzip.compress(b"no idx"),
        lambda data: b"",
        lambda data: gzip.decompress(data),
        lambda data: gzip.compress(gzip.decompress(data)[:-1]),
        lambda data: gzip.compress(gzip.decompress(data) + b"x"),
        lambda data: idx(30, 0, 28),
        lambda data: idx(30, 2**32 - 1, 2**32 - 1),
        lambda data: idx(30),
    ],
)
def test_damaged_files_of_fashion_mnist_are_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object) -> None:
    write_fashion(tmp_path / "source", 30, 7)
    path = tmp_path / "source" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    code, out, err = run(capsys, "fashion-mnist", "--source", tmp_path / "source", "--output", tmp_path / "data")
    assert (code, out) == (65, "")
    assert err.splitlines()[0].startswith(f"Error: `{path}` is damaged: ")
