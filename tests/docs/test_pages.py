"""The pages tell the truth: their commands run, their links lead somewhere, generated pages are fresh."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlops_launch.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    if not name.startswith("tests/")
)
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"
UPDATE = "UPDATE_DOCS=1 python -m pytest tests/docs"

# A block that is not run says why, in a comment on the line before it.
BLOCK = re.compile(r"(?:<!-- not run here: (?P<reason>[^>]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)\n```", re.DOTALL)
REASONS = {
    ".ci/run runs it", "it is this test", "needs a cluster", "needs a container engine", "needs root",
}  # fmt: skip


def blocks(page: Path) -> list[tuple[str | None, str, str]]:
    """Return (reason it is not run, language, text) of each code block."""
    return [(match["reason"], match["language"], match["text"]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_COMMANDS = [page for page in PAGES if any(language == "sh" and reason is None for reason, language, _ in blocks(page))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, since the commands change files."""
    copy = tmp_path_factory.mktemp("checkout") / "mlops-launch"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=relative)
def test_the_commands_of_a_page_run_in_order(page: Path, checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder)
    script = "\n".join(text for reason, language, text in blocks(page) if language == "sh" and reason is None)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "launcher"),
    }
    ended = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    if page == ROOT / "README.md":  # it ends with two steps of training
        assert "+ mlops-launch init my-training\n" in ended.stderr
        assert re.search(r"^step=2/2 .*\n(.*\n)*result .*\bstep=2\b", ended.stdout, re.MULTILINE), ended.stdout[-2000:]


def test_pages_with_commands_were_found() -> None:
    assert {"README.md", "docs/guides/local.md", "docs/guides/data.md"} <= {relative(page) for page in WITH_COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_block_names_its_language_and_one_that_is_not_run_a_known_reason(page: Path) -> None:
    for reason, language, text in blocks(page):
        assert language, f"no language marker: {text.splitlines()[0]}"
        assert reason is None or reason in REASONS, reason


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def cli_page() -> str:
    """Return the reference page of the verbs, from their help."""
    context = main.make_context("mlops-launch", [], resilient_parsing=True, terminal_width=100)
    parts = [
        f"# Verbs\n\nWritten by `{UPDATE}` from the verbs' help.",
        f"```text\n{main.get_help(context).rstrip()}\n```",
    ]
    for name in main.list_commands(context):
        command = main.resolve_command(context, [name])[1]
        assert command is not None
        sub = click.Context(command, info_name=name, parent=context)
        parts.append(f"## {name}\n\n```text\n{command.get_help(sub).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def test_the_page_of_verbs_is_what_help_says() -> None:
    if os.environ.get("UPDATE_DOCS"):
        CLI_PAGE.write_text(cli_page(), encoding="utf-8")
    assert CLI_PAGE.read_text(encoding="utf-8") == cli_page(), f"update with: {UPDATE}"


def test_every_verb_has_help_and_each_option_too() -> None:
    context = main.make_context("mlops-launch", [], resilient_parsing=True)
    for name in main.list_commands(context):
        command = main.resolve_command(context, [name])[1]
        assert command is not None and command.help, name
        assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == [], name
