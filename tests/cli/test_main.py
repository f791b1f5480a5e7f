"""The group: help for every verb, suggestions, one shape for errors, a fast `--help`."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import click
import pytest

from mlops_launch import __version__
from mlops_launch.cli.main import MEANT, VERBS, main
from tests.cli.conftest import Call, Ended


def test_help_lists_every_verb(call: Call) -> None:
    for flag in ("-h", "--help"):
        ended = call(flag)
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert {line.split()[0]: line.split(maxsplit=1)[1] for line in ended.stdout.split("Commands:\n")[1].splitlines()} == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_help_on_itself_and_on_each_option(verb: str) -> None:
    command = import_module(f"mlops_launch.cli.{verb}").command
    assert command.name == verb
    assert command.help and command.help.strip()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_its_help(call: Call, verb: str) -> None:
    ended = call(verb, "--help")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: mlops-launch {verb} ")


@pytest.mark.parametrize("verb", ["", *VERBS])
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_help_fits_the_terminal_and_breaks_no_address_and_no_example(
    call: Call, monkeypatch: pytest.MonkeyPatch, verb: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = call(*filter(None, [verb]), "--help").stdout.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.strip() in ("Example:", "Examples:")), len(lines))
    end = next((number for number in range(begin, len(lines)) if not lines[number]), len(lines))
    examples, address = lines[begin:end], [line for line in lines if "https://" in line]
    too_wide = [line for line in lines if len(line) > columns]
    assert [line for line in too_wide if line not in examples + address] == []
    assert columns < 80 or too_wide == []
    assert all(line.endswith("/stable/shell-completion/") for line in address) and bool(address) == (not verb)
    assert verb in ("", "delete", "gc", "ls", "render") or examples, "the verb has examples"
    assert all(line.startswith(("  Example", "    mlops-launch ", "        ")) for line in examples)


def test_version(call: Call) -> None:
    assert call("--version") == Ended(0, f"mlops-launch, version {__version__}\n", "")


def test_a_misspelt_verb(call: Call) -> None:
    assert call("chek") == Ended(
        2,
        "",
        "Usage: mlops-launch [OPTIONS] COMMAND [ARGS]...\nTry 'mlops-launch --help' for help.\n\n"
        "Error: No such command 'chek'. Did you mean 'check'?\n",
    )


@pytest.mark.parametrize("word", MEANT)
def test_a_verb_of_another_program_leads_to_ours(call: Call, word: str) -> None:
    ended = call(word, "x")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.endswith(f"\nError: No such command '{word}'.\n\nhint: {MEANT[word]}\n")
    assert word not in VERBS and set(re.findall("mlops-launch ([a-z]+)", MEANT[word])) <= set(VERBS)


def test_an_error_is_a_line_a_blank_line_and_a_hint(call: Call) -> None:
    assert call("check", "quickstart") == Ended(
        2,
        "",
        "Error: no kustomization.yaml in: quickstart\n\n"
        "hint: did you mean `quickstart/k8s/mlops/all-reduce` or `quickstart/k8s/mlops/multi-node` or "
        "`quickstart/k8s/mlops/single-node`?\n",
    )


@pytest.mark.parametrize(
    ("folder", "hint"),
    [
        ("quickstart/k8s/mlops/multinode", "did you mean `quickstart/k8s/mlops/multi-node`?"),
        ("quickstart/k8s/mlops/multi-node/mlops.env", "give its folder: quickstart/k8s/mlops/multi-node"),
        (
            ".",
            "did you mean `quickstart/k8s/mlops/all-reduce` or `quickstart/k8s/mlops/multi-node` or `quickstart/k8s/mlops/single-node`?",
        ),
        ("quickstart/k8s", "give the folder of an overlay, for instance quickstart/k8s/mlops/multi-node"),
        ("no/such/folder", "give the folder of an overlay, for instance quickstart/k8s/mlops/multi-node"),
    ],
)
def test_an_overlay_that_is_meant_is_named(call: Call, folder: str, hint: str) -> None:
    assert call("check", folder) == Ended(2, "", f"Error: no kustomization.yaml in: {folder}\n\nhint: {hint}\n")


@pytest.mark.parametrize("verb", ["set", "render", "check", "run"])
def test_a_call_without_an_overlay_gets_an_example(call: Call, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    said = "Error: no overlay given\n\nhint: for instance `mlops-launch {} {}`\n"
    assert call(verb) == Ended(2, "", said.format(verb, "quickstart/k8s/mlops/multi-node"))
    monkeypatch.chdir("quickstart/k8s/mlops/multi-node")
    assert call(verb) == Ended(2, "", said.format(verb, "."))


def test_an_unreadable_file_is_an_error_not_a_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "quickstart/mlops.env")

    monkeypatch.setattr("mlops_launch.commands.overlay.check.read_files", refuse)
    assert call("check", "quickstart/k8s/mlops/multi-node") == Ended(1, "", "Error: Permission denied: quickstart/mlops.env\n")


def test_help_imports_no_verb_and_no_library_but_click() -> None:
    program = (
        "import sys; from mlops_launch.cli.main import main; main(['--help'], standalone_mode=False);"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('yaml', 'ruamel', 'kubernetes') or n.startswith('mlops_launch')),"
        " file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == "['mlops_launch', 'mlops_launch.cli', 'mlops_launch.cli.ending', 'mlops_launch.cli.main']\n"


def test_the_module_is_the_program() -> None:
    ended = subprocess.run([sys.executable, "-m", "mlops_launch", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"mlops-launch, version {__version__}\n", "")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with main.make_context("mlops-launch", ["ls"]) as context:
        main.callback.__wrapped__(context)  # type: ignore[union-attr]
        assert context.color is False
