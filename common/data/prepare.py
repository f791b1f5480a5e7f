#!/usr/bin/env python3
"""Write a dataset as TFRecords with a manifest: from real images that need no download, or from a folder of your own.
Or read one, ours or not, and name each record whose image is damaged.

    python3 common/data/prepare.py digits [--output DIR]
    python3 common/data/prepare.py fashion-mnist [--source DIR] [--output DIR]
    python3 common/data/prepare.py folder SOURCE [--output DIR] [--validation-fraction F] [--skip-broken]
    python3 common/data/prepare.py verify DIR

A call that was interrupted resumes where it stopped when it is repeated; a finished dataset is not touched. stdout gets one
line, `result …`; progress and errors go to stderr. Exit codes: 0, or those of `mlops_launch.contract.ExitCode`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

if __name__ == "__main__":
    # Run by its path, Python looks beside this file for modules, and not in the folder that holds `common`.
    root = Path(__file__).resolve().parents[2]
    sys.path[0] = str(root)
    # A checkout carries the launcher; an installed one comes first.
    sys.path.append(str(root / "launcher"))


def _lacks(error: ModuleNotFoundError) -> int:
    """Say which package is missing, and return the exit code; what is ours and missing is a defect."""
    if error.name is None or error.name.split(".")[0] == "common":
        raise error
    install = f"{shlex.quote(sys.executable)} -m pip install 'mlops-launch[train,data]'"
    print(f"Error: a package is not installed in this Python: {error.name}\n\nhint: {install}", file=sys.stderr)
    return os.EX_CONFIG


try:
    from common.data.dataset import open_dataset
    from common.data.image_folder import DEFAULT_HELD_OUT, image_folder
    from common.data.manifest import TRAIN, VALIDATION, Manifest
    from common.data.names import printable
    from common.data.source import Content, Source
    from common.data.sources import FASHION_FOLDER, digits, fashion_mnist
    from common.data.verify import verify
    from common.data.writer import write_dataset
    from common.errors import TrainingError
    from common.files import io_error
    from common.output import print_whatever
    from common.tensorflow_start import start_tensorflow
    from mlops_launch import contract
    from mlops_launch.contract import ExitCode
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(_lacks(missing))

DEFAULT_OUTPUT = Path(".mlops/datasets")
DEFAULT_SIZE = 32
LARGEST_OFFSET = 1_000_000_000
MOST_THREADS = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    begin = time.monotonic()
    print_whatever()
    try:
        options = _parser().parse_args(argv)
        if options.command == "verify":
            return _verify(options)
        output = options.output or DEFAULT_OUTPUT / options.command
        if options.command == "folder":
            _require_outside(output, options.source)
        manifest = write_dataset(
            _starting_tensorflow(_source(options), options.threads),
            output,
            force=options.force,
            skip_broken=getattr(options, "skip_broken", False),
            threads=options.threads,
            log=_log,
        )
        _say(_result(manifest, output, time.monotonic() - begin))
    except TrainingError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        return _lacks(error)
    except OSError as error:
        return _fail(io_error(error, f"prepare the dataset, `{error.filename}`" if error.filename else "prepare the dataset"))
    return int(ExitCode.SUCCESS)


def _verify(options: argparse.Namespace) -> int:
    dataset = open_dataset(options.dataset, classes=options.classes, label_offset=options.label_offset, log=_log)
    if "tensorflow" not in sys.modules:
        start_tensorflow(options.threads)
    found = verify(dataset, options.threads, _log)
    _say(f"{contract.RESULT} {contract.format_fields({**found._asdict(), 'dataset': printable(options.dataset)})}")
    return int(ExitCode.BAD_DATA if found.broken else ExitCode.SUCCESS)


def _fail(error: TrainingError) -> int:
    _log(f"Error: {error}")
    return int(error.code)


def _require_outside(output: Path, source: Path) -> None:
    """Refuse an output folder inside the source: the next call would take it for a part of it."""
    # Not Path.resolve, which raises another kind of error for links in a circle.
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
        raise TrainingError(f"the output folder is inside of the source: {output}", "choose another with --output", ExitCode.USAGE)


def _source(options: argparse.Namespace) -> Source:
    if options.command == "digits":
        return digits(options.size, options.shards)
    if options.command == "fashion-mnist":
        return fashion_mnist(options.source, options.size, options.shards, _log)
    return image_folder(
        options.source,
        fraction=options.validation_fraction,
        label_offset=options.label_offset,
        shards=options.shards,
        threads=options.threads,
        log=_log,
    )


def _starting_tensorflow(source: Source, threads: int) -> Source:
    """Return `source`, whose `read` starts TensorFlow first: not before, so that a finished dataset is recognized fast."""

    def read() -> Content:
        # A caller that has it already has started it in its own way.
        if "tensorflow" not in sys.modules:
            start_tensorflow(threads)
        return source.read()

    return dataclasses.replace(source, read=read)


def _result(manifest: Manifest, output: Path, seconds: float) -> str:
    fields: dict[str, contract.Value] = {
        "dataset": manifest.name,
        "train": manifest.images(TRAIN),
        "validation": manifest.images(VALIDATION),
        "classes": len(manifest.classes),
        "label_offset": manifest.label_offset,
        "skipped": len(manifest.skipped),
        "shards": sum(len(shards) for shards in manifest.splits.values()),
        "bytes": sum(shard.bytes for shards in manifest.splits.values() for shard in shards),
        "seconds": round(seconds, 1),
        "output": printable(output),
    }
    return f"{contract.RESULT} {contract.format_fields(fields)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(message, f"see `{self.prog} --help`", ExitCode.USAGE)


def _parser() -> argparse.ArgumentParser:
    threads = _Parser(add_help=False)
    threads.add_argument("--threads", type=_threads, metavar="N", default=len(os.sched_getaffinity(0)), help="(default: the cores)")
    common = _Parser(add_help=False, parents=[threads])
    common.add_argument("--output", type=Path, metavar="DIR", help=f"the dataset folder (default: {DEFAULT_OUTPUT}/NAME)")
    common.add_argument("--shards", type=_positive, metavar="N", help="record files of the training split")
    common.add_argument("--force", action="store_true", help="write over another dataset that this command has written")
    size = _Parser(add_help=False)
    size.add_argument("--size", type=_positive, metavar="PIXELS", default=DEFAULT_SIZE, help="of the images (default: %(default)s)")

    description, _, usage = (__doc__ or "").partition("\n\n")
    parser = _Parser(prog="prepare.py", description=description, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    commands.add_parser("digits", parents=[common, size], help="scikit-learn's 1,797 digits, as PNG; a fifth is held out")
    fashion = commands.add_parser("fashion-mnist", parents=[common, size], help="Debian's Fashion-MNIST, 70,000 images, as JPEG")
    fashion.add_argument("--source", type=Path, metavar="DIR", default=FASHION_FOLDER, help="(default: %(default)s)")
    folder = commands.add_parser("folder", parents=[common], help="class folders of JPEG and PNG files, kept as they are")
    folder.add_argument("source", type=Path, metavar="SOURCE", help="holds class folders, or `train` and `val` with class folders")
    folder.add_argument(
        "--validation-fraction", type=_fraction, metavar="F",
        help=f"part held out by checksum, where there is no `val` (default: {DEFAULT_HELD_OUT})",
    )  # fmt: skip
    folder.add_argument("--label-offset", type=_offset, metavar="N", default=0, help="label of the first class (default: 0; ImageNet: 1)")
    folder.add_argument("--skip-broken", action="store_true", help="leave out files that are no whole image, and list them")
    checked = commands.add_parser("verify", parents=[threads], help="read every record, decode its image, and name those that are damaged")
    checked.add_argument("dataset", type=Path, metavar="DIR", help="the dataset folder")
    checked.add_argument("--classes", type=_positive, metavar="N", help="for a dataset without manifest: its number of classes")
    checked.add_argument("--label-offset", type=_offset, metavar="N", help="for a dataset without manifest: label of the first class")
    return parser


def _threads(text: str) -> int:
    number = _positive(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_THREADS} expected: {text}")
    return number


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a whole number above 0 expected: {text}")
    return int(text)


def _offset(text: str) -> int:
    if not text.isdecimal() or int(text[:20]) > LARGEST_OFFSET:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to {LARGEST_OFFSET} expected: {text}")
    return int(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to below 1 expected: {text}")
    return value


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Whoever read has gone. The dataset is there; Python must not fail again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _log(line: str) -> None:
    print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr, flush=True)


def _end_at_once(stderr: int, number: int, frame: FrameType | None) -> NoReturn:
    """Say so on the file descriptor `stderr` and end without unwinding, as a SIGKILL does, which a preparation survives.

    A KeyboardInterrupt that comes while a thread pool holds a lock leaves it locked, and the pool's end waits forever.
    """
    begin = "\n" if sys.stderr.isatty() else ""  # behind the bar
    os.write(stderr, f"{begin}Error: interrupted\n\nhint: the same command resumes where it stopped\n".encode())
    os._exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # A descriptor of its own: the usual one is caught while images are decoded.
        signal.signal(signal.SIGINT, functools.partial(_end_at_once, os.dup(2)))
    sys.exit(main())
