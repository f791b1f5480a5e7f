"""A rule over shell words in the values of mlops.env: nothing expands them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.core.overlay.edits import KNOWN_KEYS, KNOWN_PREFIXES
from mlops_launch.core.rules.base import Problem, Subject
from mlops_launch.core.rules.env import entries, meant_key
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.rule import ERROR, rule

# `$ORIGIN`, `$LIB` and `$PLATFORM` are the dynamic linker's.
_SHELL = re.compile(
    r"\$\{[^}]*\}|\$\([^)]*\)|`[^`]+`|\$(?!ORIGIN\b|LIB\b|PLATFORM\b)[A-Za-z_][A-Za-z0-9_]+|^~(?=/|$)|%[A-Z_][A-Z0-9_]*%"
    # Words of templates: Helm's, Jinja's, Python's.
    r"|\{\{.*?\}\}|%\([A-Za-z_]+\)s"
)


def is_shell(value: str) -> bool:
    """Return whether a shell or a template would expand a part of the value."""
    return _SHELL.search(value) is not None


@rule(
    "env-shell",
    ERROR,
    "A value of mlops.env has words of a shell",
    why=(
        "No shell and no template reads mlops.env: `$NAME`, `${NAME}`, `$(command)`, backticks, `~` and `{{ NAME }}` stay as they are, and "
        "the job writes to a folder of that very name. Write the value out, or let a script fill it in by "
        '`mlops-launch set OVERLAY KEY="$VALUE"`.'
    ),
    wrong=in_env("OUTPUT_DIR=/outputs/${USER}/run-$(date +%F)"),
    right=in_env("OUTPUT_DIR=/outputs/alice/run-2026-01-31"),
)
def _shell(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        found = _SHELL.search(entry.value)
        if found and (meant_key(entry) in KNOWN_KEYS or meant_key(entry).startswith(KNOWN_PREFIXES)):
            yield Problem(
                f"no shell expands this in `{meant_key(entry)}`: {found[0]}",
                f'write the value out, or `mlops-launch set OVERLAY "{meant_key(entry)}=…"` where a shell does',
                place,
            )
