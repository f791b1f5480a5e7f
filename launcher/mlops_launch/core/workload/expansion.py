"""`$(VAR)` in commands and environment values, as the kubelet expands it.

The rules are those of https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/:
a name that is not defined stays as it is written, and `$$` is a plain `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# In this order: `$$`, `$(NAME)`, a `$` before anything else (that character is not looked at again).
_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\)|.)", re.DOTALL)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its references replaced.

    >>> expand("$(ROOT)/run $$(ROOT) $(NOWHERE) $HOME", {"ROOT": "/workspace"})
    '/workspace/run $(ROOT) $(NOWHERE) $HOME'
    """

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is not None:
            return variables.get(name, match[0])
        return "$" if match[0] == "$$" else match[0]

    return _REFERENCE.sub(replace, text)


def expand_environment(sources: Mapping[str, str], entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a container's variables.

    Args:
        sources: what `envFrom` brings; its values are not expanded.
        entries: the list `env` in order; a value may refer to `sources` and to earlier entries.
    """
    variables = dict(sources)
    for name, value in entries:
        variables[name] = expand(value, variables)
    return variables
