"""A folder of images in the layouts that people have: each folder has its right role, or is named, or the source is refused."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.image_folder import image_folder
from common.data.listing import Notes
from common.data.names import printable
from common.data.source import BrokenImage
from common.errors import TrainingError
from mlops_launch.contract import ExitCode

Found = tuple[tuple[str, ...], dict[str, dict[str, int]], list[str]]


def tree(folder: Path, files: Mapping[str, int]) -> Path:
    """Make a folder with so many files, each with content of its own, in each of the named sub-folders."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in files.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for at in range(count):
            (folder / name / f"{at}.jpg").write_bytes(f"{name} {at}".encode())
    return folder


def read(folder: Path, fraction: float | None = None) -> Found:
    """Return the classes, the number of images of each class in each split, and the lines of the log."""
    lines: list[str] = []
    content = image_folder(folder, fraction=fraction, label_offset=0, shards=None, threads=2, log=lines.append).read()
    splits = {
        split: dict(sorted(Counter(content.classes[item.label] for item in items).items())) for split, items in content.splits.items()
    }
    return content.classes, splits, lines


def refused(folder: Path, fraction: float | None = None) -> tuple[ExitCode, str]:
    with pytest.raises(TrainingError) as caught:
        read(folder, fraction)
    return caught.value.code, caught.value.message


@st.composite
def in_any_case(draw: st.DrawFn, *names: str) -> str:
    name = draw(st.sampled_from(names))
    return "".join(draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name)


TRAIN = in_any_case("train", "training")
HELD = in_any_case("val", "valid", "validation", "test", "testing")


@settings(deadline=None, max_examples=50)
@given(train=TRAIN, held=HELD)
def test_split_folders_of_any_usual_name_and_case_are_the_splits(tmp_path_factory: pytest.TempPathFactory, train: str, held: str) -> None:
    folder = tree(tmp_path_factory.mktemp("source"), {f"{train}/a": 3, f"{train}/b": 2, f"{held}/a": 1, f"{held}/b": 2})
    classes, splits, lines = read(folder)
    assert (classes, splits) == (("a", "b"), {"train": {"a": 3, "b": 2}, "validation": {"a": 1, "b": 2}})
    if held.casefold().startswith("test"):
        assert lines == [f"used for validation, since there is no other such folder: {folder / held}"]
    else:
        assert lines == []


@settings(deadline=None, max_examples=50)
@given(train=TRAIN, held=HELD, other=st.sampled_from(["c", "unlabeled", "trains", "extra"]), nested=st.booleans())
def test_a_split_beside_a_folder_with_images_is_refused(
    tmp_path_factory: pytest.TempPathFactory, train: str, held: str, other: str, nested: bool
) -> None:
    folder = tree(
        tmp_path_factory.mktemp("source"), {f"{train}/a": 2, f"{train}/b": 2, f"{held}/a": 2, f"{other}/x" if nested else other: 2}
    )
    code, message = refused(folder)
    assert (code, message) == (ExitCode.BAD_DATA, f"`{train}` may be a split or a class, beside it: {other}")


def test_test_images_beside_validation_images_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", {"train/a": 2, "train/b": 2, "val/a": 1, "test/a": 1, "test/b": 1})
    _, splits, lines = read(folder)
    assert splits == {"train": {"a": 2, "b": 2}, "validation": {"a": 1}}
    assert lines == [f"classes without a folder in `{folder / 'val'}`, 1 of 2: b", "left out, test images, 1: test (2 in it)"]


def test_test_images_without_classes_or_beside_a_fraction_are_named(tmp_path: Path) -> None:
    flat = tree(tmp_path / "flat", {"train/a": 30, "train/b": 30, "test": 3})
    classes, splits, lines = read(flat)
    assert classes == ("a", "b") and sum(splits["train"].values()) + sum(splits["validation"].values()) == 60
    assert lines == ["left out, test images without class folders, 1: test (3 in it)"]
    folder = tree(tmp_path / "fraction", {"train/a": 30, "train/b": 30, "test/a": 3, "test/b": 3})
    _, splits, lines = read(folder, 0.3)
    assert sum(splits["train"].values()) + sum(splits["validation"].values()) == 60
    assert lines == ["left out, test images, 1: test (6 in it)"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/a": 1, "train/b": 1, "val/a": 1, "validation/a": 1}, "more than one folder of validation images in `{}`: val, validation"),
        ({"Train/a": 1, "Train/b": 1, "training/a": 1}, "more than one folder of training images in `{}`: Train, training"),
        ({"val/a": 1, "test/a": 1}, "no folder of training images in `{}`, beside: test, val"),
        ({"dogs": 1, "test": 1, "cats": 1}, "`test` may be a split or a class, beside it: cats, dogs"),
        ({"bus": 1, "car": 1, "train/diesel": 1, "train/steam": 1}, "`train` may be a split or a class, beside it: bus, car"),
        ({"2019/a": 1, "2019/b": 1, "2020/a": 1, "2020/b": 1}, "class folders or another level above them? `{}/2019` holds: a, b"),
        ({"cat/train": 1, "cat/val": 1, "dog/train": 1}, "class folders or another level above them? `{}/cat` holds: train, val"),
        (
            {"fold1/a": 1, "fold1/b": 1, "fold2/a": 1, "fold2/b": 1, "c": 1},
            "class folders or another level above them? `{}/fold1` holds: a, b",
        ),
        ({"training_set/a": 1, "training_set/b": 1, "test_set/a": 1}, "all folders are called after splits: test_set, training_set"),
        (
            {"seg_pred": 1, "seg_test/seg_test/a": 1, "seg_train/seg_train/a": 1},
            "class folders or another level above them? `{}/seg_test` holds: seg_test",
        ),
        ({"train_images": 3, "test_images": 2}, "all folders are called after splits: test_images, train_images"),
        ({"train2017/a": 1, "train2017/b": 1, "other": 1}, "class folders or another level above them? `{}/train2017` holds: a, b"),
        ({"archive/a": 1, "archive/b": 1}, "one class only in `{}`: archive"),
        ({"train/a": 1, "val/a": 1}, "one class only in `{}/train`: a"),
        ({"train/a": 1, "train/b": 1, "val/a": 0}, "no images in: {}/val"),
        ({"train/a": 1, "train/b": 1, "val/c": 1}, "a class of `{}/val` has no training images: c"),
        ({"train/a": 1, "train/b": 0}, "a class folder holds no images: {}/train/b"),
    ],
)
def test_a_role_that_cannot_be_told_is_refused(tmp_path: Path, files: dict[str, int], message: str) -> None:
    folder = tree(tmp_path / "s", files)
    assert refused(folder) == (ExitCode.BAD_DATA, message.format(folder))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert read(tree(tmp_path / "s", {"bus": 2, "car": 2, "train": 2}), 0)[:2] == (
        ("bus", "car", "train"),
        {"train": {"bus": 2, "car": 2, "train": 2}},
    )


@pytest.mark.parametrize(
    "files",
    [
        {"animals/cat": 1, "animals/dog": 1, "cars/bmw": 1, "cars/vw": 1},
        {"cat/images": 2, "dog/images": 2},
        {"freight train": 2, "train station": 2, "test tube": 2, "bus": 1},
        {"cat": 2, "cat/left": 1, "cat/right": 1, "dog": 1, "dog/left": 1, "dog/right": 1},
    ],
)
def test_folders_below_a_class_belong_to_it(tmp_path: Path, files: dict[str, int]) -> None:
    counts: Counter[str] = Counter()
    for name, count in files.items():
        counts[name.split("/")[0]] += count
    assert read(tree(tmp_path / "s", files), 0) == (tuple(sorted(counts)), {"train": dict(sorted(counts.items()))}, [])


@pytest.mark.parametrize("empty", [True, False])
def test_a_class_without_validation_images_is_named_where_it_has_no_folder(tmp_path: Path, empty: bool) -> None:
    folder = tree(tmp_path / "s", {"train/a": 2, "train/b": 2, "val/a": 1, **({"val/b": 0} if empty else {})})
    classes, splits, lines = read(folder)
    assert (classes, splits) == (("a", "b"), {"train": {"a": 2, "b": 2}, "validation": {"a": 1}})
    assert lines == ([] if empty else [f"classes without a folder in `{folder / 'val'}`, 1 of 2: b"])


def test_folders_without_images_beside_the_splits_and_files_beside_the_classes_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", {"train/a": 2, "train/b": 2, "notes": 0})
    (folder / "notes" / "boxes.xml").write_text("")
    for name in ("labels.csv", "stray.jpg", "train/new\nline.jpg", "train/.DS_Store", "train/a/.hidden.jpg"):
        (folder / name).write_text("")
    for name in ("__MACOSX/train/a", "train/a/@eaDir", "lost+found"):
        (folder / name).mkdir(parents=True)
        (folder / name / "0.jpg").write_text("")
    assert read(folder, 0) == (
        ("a", "b"),
        {"train": {"a": 2, "b": 2}},
        [
            "left out, put there by a system, 3: __MACOSX (1 in it), lost+found (1 in it), train/a/@eaDir (1 in it)",
            "left out, beside the class folders, 3: labels.csv, stray.jpg, train/new\\nline.jpg",
            "left out, without images, beside the splits, 1: notes (1 in it)",
            "left out, hidden, 2: train/.DS_Store, train/a/.hidden.jpg",
        ],
    )


def test_names_that_differ_by_case_or_accents_alone_are_told(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", {"Cat": 1, "cat": 1, "caf\u00e9": 1, "cafe\u0301": 1})
    classes, _, lines = read(folder, 0)
    assert len(classes) == 4
    assert sorted(lines) == [
        "two classes or one? their names differ by case or accents alone: Cat, cat",
        "two classes or one? their names differ by case or accents alone: cafe\u0301, caf\u00e9",
    ]


@settings(deadline=None, max_examples=30)
@given(fraction=st.floats(0.01, 0.99), counts=st.lists(st.integers(1, 12), min_size=2, max_size=6))
def test_a_class_keeps_training_images_whatever_is_held_out(
    tmp_path_factory: pytest.TempPathFactory, fraction: float, counts: list[int]
) -> None:
    folder = tree(tmp_path_factory.mktemp("source"), {f"class {at}": count for at, count in enumerate(counts)})
    try:
        classes, splits, lines = read(folder, fraction)
    except TrainingError as error:
        assert error.message == f"a validation fraction of {fraction:g} leaves no image for validation, of {sum(counts)}"
        return
    assert set(splits["train"]) == set(classes)
    assert {name: splits["train"][name] + splits["validation"].get(name, 0) for name in classes} == {
        f"class {at}": count for at, count in enumerate(counts)
    }
    assert all(line.startswith("nothing held out of classes too small for it, ") for line in lines)


# Links, and what is neither a file nor a folder.


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    pool = tree(tmp_path / "pool", {"a": 2, "b": 2})
    source = tmp_path / "source"
    (source / "b").mkdir(parents=True)
    (source / "a").symlink_to(pool / "a")
    (source / "b" / "0.jpg").symlink_to(pool / "b" / "0.jpg")
    assert read(source, 0) == (("a", "b"), {"train": {"a": 2, "b": 1}}, [])


@pytest.mark.parametrize("name", ["c", "stray.jpg"])
def test_a_link_beside_the_classes_that_leads_nowhere_is_refused_since_it_may_be_a_class(tmp_path: Path, name: str) -> None:
    folder = tree(tmp_path / "s", {"a": 2, "b": 2})
    (folder / name).symlink_to("/nowhere/c")
    assert refused(folder) == (ExitCode.BAD_DATA, f"a link that leads nowhere: {folder / name}")


def test_a_link_to_a_folder_above_is_left_out_and_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "s", {"a": 2, "b": 2})
    (folder / "a" / "self").symlink_to(".")
    assert read(folder, 0) == (
        ("a", "b"),
        {"train": {"a": 2, "b": 2}},
        ["left out, a link to a folder above it, 1: a/self"],
    )


@pytest.mark.parametrize(("link", "target", "named"), [("val", "train", "train/a, val/a"), ("train/c", "train/b", "train/b, train/c")])
def test_two_names_for_one_folder_are_refused(tmp_path: Path, link: str, target: str, named: str) -> None:
    folder = tree(tmp_path / "s", {"train/a": 2, "train/b": 2})
    (folder / link).symlink_to(folder / target)
    assert refused(folder) == (ExitCode.BAD_DATA, f"two names for one folder, its images would be used twice: {named}")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/nowhere"), "a link that leads nowhere"),
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "neither a file nor a folder"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
    ],
)
@pytest.mark.parametrize("fraction", [0, 0.5])
def test_what_is_not_a_file_is_a_broken_image_and_never_waited_for(
    tmp_path: Path, make: Callable[[Path], object], reason: str, fraction: float
) -> None:
    folder = tree(tmp_path / "s", {"a": 20, "b": 20})
    make(folder / "a" / "odd.jpg")
    content = image_folder(folder, fraction=fraction, label_offset=0, shards=None, threads=2, log=lambda line: None).read()
    (item,) = [item for items in content.splits.values() for item in items if item.name.endswith("odd.jpg")]
    with pytest.raises(BrokenImage) as caught:
        item.load()
    assert (caught.value.name, caught.value.reason) == (str(folder / "a" / "odd.jpg"), reason)


def test_names_in_another_encoding_are_names(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "s")
    for name in (b"caf\xe9", b"th\xe9"):
        os.makedirs(os.path.join(folder, name))
        with open(os.path.join(folder, name, b"\xfc.jpg"), "wb") as file:
            file.write(b"x")
    classes, splits, _ = read(tmp_path / "s", 0)
    assert classes == ("caf\udce9", "th\udce9")
    assert splits == {"train": {"caf\udce9": 1, "th\udce9": 1}}


def test_what_may_not_be_read_is_an_error_that_names_the_user() -> None:
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        folder = tree(Path(base) / "s", {"a": 2, "b": 2})
        (folder / "b" / "0.jpg").chmod(0)
        closed = tree(Path(base) / "closed", {"a": 2, "b": 2})
        (closed / "b").chmod(0)
        try:
            if os.geteuid() == 0:
                # Nothing is closed to root.
                os.seteuid(65534)
            source = image_folder(folder, fraction=0, label_offset=0, shards=None, threads=1, log=lambda line: None).read()
            (item,) = [item for item in source.splits["train"] if item.name == str(folder / "b" / "0.jpg")]
            for work in (item.load, lambda: read(closed)):
                with pytest.raises(TrainingError) as caught:
                    work()
                assert caught.value.code == ExitCode.IO_ERROR
                assert caught.value.message.endswith(": Permission denied")
                assert caught.value.hint is not None and f"uid {os.geteuid()} " in caught.value.hint
        finally:
            os.seteuid(os.getuid())
            (closed / "b").chmod(0o755)


NAMES = ["train", "Train", "val", "Validation", "test", "a", "b", "A", "c d", ".hidden", "__MACOSX", "dev", "images", "caf\udce9", "0.jpg"]
FOLDERS = st.lists(st.sampled_from(NAMES), max_size=3).map("/".join)
FILES = st.sampled_from(["0.jpg", "1.PNG", ".DS_Store", "Thumbs.db", "labels.csv", "new\nline.jpg", "noext", "._0.jpg"])
TARGETS = st.sampled_from(["..", "self", "/nowhere", "../a", "../b", "../../a/0.jpg", "a"])


@settings(deadline=None, max_examples=300)
@given(
    files=st.lists(st.tuples(FOLDERS, FILES), min_size=1, max_size=12),
    links=st.lists(st.tuples(FOLDERS, st.sampled_from(["a", "b", "self", "x.jpg"]), TARGETS), max_size=2),
    fraction=st.sampled_from([None, 0.0, 0.5]),
)
def test_every_file_of_any_source_is_used_or_named_or_the_source_is_refused(
    files: list[tuple[str, str]], links: list[tuple[str, str, str]], fraction: float | None
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        noted: set[Path] = set()
        add = Notes.add
        patch.setattr(Notes, "add", lambda notes, reason, path: (noted.add(path), add(notes, reason, path))[1])
        base = Path(name)
        for folder, file in files:
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                (base / folder).mkdir(parents=True, exist_ok=True)
                (base / folder / file).write_bytes(os.fsencode(f"{folder} {file}"))
        for folder, link, target in links:
            if (base / folder).is_dir() and not os.path.lexists(base / folder / link):
                (base / folder / link).symlink_to(target)
        try:
            content = image_folder(base, fraction=fraction, label_offset=0, shards=None, threads=1, log=lambda line: None).read()
        except TrainingError as error:
            assert error.code in (ExitCode.BAD_DATA, ExitCode.NO_DATA, ExitCode.USAGE)
            assert "\n" not in error.message
            return
        used = {item.name: content.classes[item.label] for items in content.splits.values() for item in items}
        for at, _, names in os.walk(base):
            for file in names:
                path = Path(at, file)
                assert printable(path) in used or not noted.isdisjoint({path, *path.parents}), path
        for path, of_class in used.items():
            # The class is the folder's name, right below the source or below a split.
            assert printable(of_class) in Path(path).relative_to(base).parts[:2]
