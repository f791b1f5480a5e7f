"""Every call ends with a line and an exit code: whatever is raised, whatever has become of the streams, whenever Ctrl-C comes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_launch.cli.main import VERBS, main
from mlops_launch.commands.runs.archive import Archive
from tests.cli.conftest import Call, Ended
from tests.cli.test_runs import add

OVERLAY = "quickstart/k8s/mlops/multi-node"
WORDS = {
    "init": ["mine"], "set": [OVERLAY, "MLOPS_EPOCHS=2"], "render": [OVERLAY], "check": [OVERLAY], "run": [OVERLAY, "--local", "--dry-run"],
    "logs": [], "status": [], "ls": [], "delete": ["resnet50v1-5"], "gc": [],
}  # fmt: skip
UNEXPECTED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError, RecursionError, OverflowError, MemoryError,
    UnicodeError, ZeroDivisionError, StopIteration, NotImplementedError, ArithmeticError,
)  # fmt: skip


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def raising(verb: str, error: BaseException) -> Ended:
    """How `verb` ends when that is raised in it."""
    command = import_module(f"mlops_launch.cli.{verb}").command

    def fail(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "callback", fail)
        result = CliRunner().invoke(main, [verb, *WORDS[verb]], prog_name="mlops-launch")
    return Ended(result.exit_code, result.stdout, result.stderr)


def failed(verb: str) -> int:
    return 125 if verb == "run" else 1


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(UNEXPECTED), text=st.text(max_size=60))
def test_an_exception_that_nobody_has_thought_of_is_one_line_and_its_traceback_is_in_a_file(
    reports: Path, verb: str, kind: type[Exception], text: str
) -> None:
    ended = raising(verb, kind(text))
    assert (ended.exit_code, ended.stdout) == (failed(verb), "")
    message, blank, hint, end = ended.stderr.split("\n")
    assert re.fullmatch(rf"Error: a defect in mlops-launch, test_ending\.py:[0-9]+: {kind.__name__}: .*", message)
    assert (blank, end) == ("", "")
    report = Path(hint.removeprefix("hint: please report it with this line and the traceback, which is in: "))
    assert report.parent == reports and "Traceback (most recent call last):" in report.read_text("utf-8")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "No space left on device"), "No space left on device\n\nhint: make room, or name a place on another disk"),
        (OSError(28, "No space left on device", "a/b"), "No space left on device: a/b\n\nhint: make room, or name a place on another disk"),
        (OSError(30, "Read-only file system", "a"), "Read-only file system: a\n\nhint: nothing can be written there: name another place"),
        (PermissionError(13, "Permission denied", "a"), "Permission denied: a"),
        (OSError("odd"), "odd"),
        (
            ModuleNotFoundError("No module named 'urllib3'", name="urllib3"),
            "a Python package is missing or damaged: urllib3\n\nhint: install mlops-launch again in this environment",
        ),
    ],
)
def test_what_the_system_refuses_is_named(reports: Path, verb: str, error: Exception, shown: str) -> None:
    assert raising(verb, error) == Ended(failed(verb), "", f"Error: {shown}\n")
    assert list(reports.iterdir()) == []


def test_a_disk_that_cannot_take_the_traceback_hides_no_cause(reports: Path) -> None:
    reports.rmdir()
    ended = raising("check", ValueError("odd"))
    assert ended.exit_code == 1
    assert re.fullmatch(
        r"Error: a defect in mlops-launch, test_ending\.py:\d+: ValueError: odd\n\nhint: please report it with this line\n", ended.stderr
    )


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_is_silent(reports: Path, verb: str) -> None:
    wrapped = RuntimeError("a library's own")
    wrapped.__context__ = KeyboardInterrupt()
    for error in (KeyboardInterrupt(), wrapped):
        ended = raising(verb, error)
        assert (ended.exit_code, ended.stdout, ended.stderr.strip()) == (130, "", "")
    assert list(reports.iterdir()) == []


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which `$M` is the program."""
    variables = {**os.environ, "M": f"{sys.executable} -m mlops_launch", "KUBECONFIG": "none.yaml", **environment}
    return subprocess.run(
        ["bash", "-c", script], env=variables, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False
    )


@pytest.mark.parametrize(
    "words", ["--help", "check --rules", f"render {OVERLAY}", f"set {OVERLAY} MLOPS_EPOCHS=2", "init mine", "ls", "status", "logs"]
)
@pytest.mark.parametrize(
    ("end", "code", "stderr"),
    [
        (">/dev/full", 1, "Error: No space left on device\n\nhint: make room, or name a place on another disk\n"),
        (">&-", 0, None),
        ("2>&- >/dev/null", 0, ""),
        ("2>/dev/full >/dev/null", 0, ""),
        ("<&- >/dev/null", 0, None),
        ("> >(:); wait $!", 0, None),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(call: Call, words: str, end: str, code: int, stderr: str | None) -> None:
    add(Archive(Path(".mlops")), "job", 1, 0, "a line\n")
    ended = shell(f"$M {words} {end}")
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr
    assert (ended.returncode, ended.stdout) == (code, "")
    if stderr is not None:
        assert ended.stderr.endswith(stderr)


def test_a_reader_that_has_left_ends_a_verb_as_it_ends_any_program(call: Call) -> None:
    ended = shell("set -o pipefail; { sleep 0.1; $M check --rules --markdown; } | :")
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
        {"LANG": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_names_outside_ascii_survive_any_locale(call: Call, locale: dict[str, str]) -> None:
    Path("quickstart").rename("übung")
    overlay = OVERLAY.replace("quickstart", "übung")
    ended = shell(f"$M set {overlay} OUTPUT_DIR=/outputs/übung && $M render {overlay} >rendered && $M check {overlay} >found", **locale)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert "OUTPUT_DIR=/outputs/übung" in Path("übung/k8s/mlops/multi-node/mlops.env").read_text("utf-8")


INTERRUPTED_AT_AN_IMPORT = """
import os, runpy, signal, sys

module, sys.argv = sys.argv[1], ["mlops-launch", *sys.argv[2:]]

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

# A shell's background job, as CI may be one, hands an ignored SIGINT on to what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
runpy.run_module("mlops_launch", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "module", ["click", "mlops_launch.cli.main", "mlops_launch.cli.check", "mlops_launch.commands.overlay.check", "ruamel.yaml", "yaml"]
)
def test_ctrl_c_during_an_import_is_silent(call: Call, module: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED_AT_AN_IMPORT, module, "check", OVERLAY]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "")
