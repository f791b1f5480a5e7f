"""Pages, messages and docstrings use each term for one thing: retired phrases stay out. docs/concepts/glossary.md has the terms."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What is written by hand for users, and what `--help` and the rules generate.
PAGES = sorted(
    name
    for name in subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    if not name.startswith("tests/")
)
MODULES = sorted(
    name
    for name in subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    if name.startswith(("launcher/", "common/", "models/"))
)
# A retired phrase and what is written in its place.
RETIRED = {
    r"\btrainings\b": "runs, or jobs in the cluster",
    r"\b(?:finished|running|ended) training\b": "a run (ours) or a job (the cluster's)",
    r"\b[Ww]ent on\b|\bgo(?:es)? on\b": "continues, resumes, keeps running",
    r"\bwithout a word\b": "silently",
    r"\bpassed over\b": "skipped",
    r"\bfor ever\b": "forever",
    r"\bleft alone\b": "not touched, kept",
    r"\b(?:[Rr]anks|GPUs|images|files?|lines?|[Oo]nce) a (?:worker|rank|step|host|pod|line|start|namespace|cluster)\b": "per worker, …",
    r"\bdoors?\b": "client",
    r"\bseed(?:'s)? (?:files?|documents?)\b": "nothing: users do not know them",
}


def findings(text: str) -> list[str]:
    """Return the retired phrases in a text, each with its line and what to write."""
    return [
        f"line {number}: `{found.group(0)}`: write {better}"
        for number, line in enumerate(text.splitlines(), 1)
        for phrase, better in RETIRED.items()
        if (found := re.search(phrase, line))
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_retired_phrase(page: str) -> None:
    assert findings((ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_text_of_the_program_has_no_retired_phrase(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    # The key of `ls --cluster --json` is what its first schema calls it.
    assert [found for text in texts if text != "trainings" for found in findings(text)] == []


@pytest.mark.parametrize("line", ["all trainings", "it goes on here", "8 GPUs a worker", "waits for ever", "the seed's files"])
def test_a_retired_phrase_is_found(line: str) -> None:
    assert len(findings(line)) == 1
