"""Rules over the lines of mlops.env: kustomize takes everything after `=` literally, so a slip lands in the job."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.core.overlay.envfile import BYTE_ORDER_MARK, LONGEST_LINE, Entry
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.rule import ERROR, WARNING, rule

_QUOTED = re.compile(r"(?P<quote>[\"']).*(?P=quote)\s*")


def entries(subject: Subject) -> Iterator[tuple[Place, Entry]]:
    """Yield the entries of the job's env files with their places."""
    for name, file in subject.files.env_files.items():
        for entry in file.entries:
            yield Place(name, entry.line), entry


def meant_key(entry: Entry) -> str:
    """Return the key that was meant: without `export` and white space."""
    return entry.key.strip().removeprefix("export ").strip()


@rule(
    "env-quoted",
    ERROR,
    "A value of mlops.env is in quotes",
    why="kustomize does not take quotes away, so they become part of the path or the name that the job reads.",
    wrong=in_env('MODEL_DIR="/workspace"'),
    right=in_env("MODEL_DIR=/workspace"),
)
def _quoted(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if _QUOTED.fullmatch(entry.value.lstrip()):
            yield Problem(
                f"the quotes are part of the value of `{meant_key(entry)}`: {entry.value}",
                "remove the quotes; blanks need none",
                place,
            )


@rule(
    "env-export",
    ERROR,
    "A line of mlops.env starts with `export`",
    why="mlops.env is not a shell script: `export NAME` becomes the key, and the variable that was meant is missing.",
    wrong=in_env("export IMAGE_TAG=0.1.0"),
    right=in_env("IMAGE_TAG=0.1.0"),
    explains_render=True,
)
def _exported(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if entry.key.startswith(("export ", "export\t")):
            yield Problem(f"`export` is part of the key: {entry.key}", f"write `{meant_key(entry)}=…`", place)


@rule(
    "env-space",
    ERROR,
    "White space around `=` or at the end of a line of mlops.env",
    why="kustomize keeps it: `A = b` is the key `A ` with the value ` b`.",
    wrong=in_env("IMAGE_TAG = 0.1.0"),
    right=in_env("IMAGE_TAG=0.1.0"),
    explains_render=True,
)
def _spaces(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if entry.key != entry.key.rstrip() or entry.value != entry.value.strip():
            yield Problem(
                f"white space is part of the key or the value: {entry.key}={entry.value!r}",
                "no white space around `=` and at the end of the line",
                place,
            )


@rule(
    "env-comment",
    WARNING,
    "A comment behind a value of mlops.env",
    why="Only a line that starts with `#` is a comment; behind a value it is part of the value.",
    wrong=in_env("HOROVOD_TIMELINE=/outputs/timeline.json # for the browser"),
    right=in_env("# for the browser\nHOROVOD_TIMELINE=/outputs/timeline.json"),
)
def _trailing_comment(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if re.search(r"\s#", entry.value):
            yield Problem(
                f"the comment is part of the value of `{meant_key(entry)}`: {entry.value}",
                "put the comment on a line of its own",
                place,
            )


@rule(
    "env-duplicate",
    ERROR,
    "A key stands twice in an env file",
    why="kustomize refuses to build the ConfigMap.",
    wrong=in_env("""
        IMAGE_TAG=0.1.0
        IMAGE_TAG=0.2.0
        """),
    right=in_env("IMAGE_TAG=0.2.0"),
    explains_render=True,
)
def _duplicate(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        for entry in file.entries:
            first = file.entry(entry.key)
            if first is not None and first is not entry:
                yield Problem(
                    f"`{entry.key}` is a duplicate key, first on line: {first.line}",
                    "kustomize refuses a duplicate key: remove one",
                    Place(name, entry.line),
                )


@rule(
    "env-empty",
    ERROR,
    "A key of mlops.env has no value",
    why="The job gets an empty text, which is neither a path nor a name; leave a line out to get the default.",
    wrong=in_env("HOROVOD_TIMELINE="),
    right=in_env("HOROVOD_TIMELINE=/outputs/timeline.json"),
)
def _empty(subject: Subject) -> Iterator[Problem]:
    for place, entry in entries(subject):
        if not entry.value.strip():
            yield Problem(f"no value for: {meant_key(entry)}", f"write `{meant_key(entry)}=VALUE`, or remove the line", place)


@rule(
    "env-crlf",
    WARNING,
    "mlops.env has Windows line ends",
    why="kustomize drops the carriage return, but everything else that reads the file keeps it in the value.",
    wrong=in_env("IMAGE_TAG=0.1.0\r"),
    right=in_env("IMAGE_TAG=0.1.0"),
)
def _line_ends(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        number = next((number for number, line in enumerate(file.text.split("\n"), 1) if line.endswith("\r")), None)
        if number is not None:
            yield Problem(
                "Windows line ends: CRLF",
                "`sed -i 's/\\r$//'` over the file; shells and other tools keep the carriage return in the value",
                Place(name, number),
            )


@rule(
    "env-bom",
    WARNING,
    "mlops.env starts with a byte order mark",
    why="kustomize drops it, but everything else that reads the file keeps it in the first key.",
    wrong=in_env("\ufeff# Where the image comes from"),
    right=in_env("# Where the image comes from"),
)
def _byte_order_mark(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        if file.text.startswith(BYTE_ORDER_MARK):
            yield Problem(
                "byte order mark at the start: U+FEFF",
                "save the file as UTF-8 without a byte order mark",
                Place(name, 1),
            )


@rule(
    "env-line-length",
    ERROR,
    "A line of mlops.env is longer than kustomize reads",
    why=(
        f"kustomize silently drops a line of more than {LONGEST_LINE} bytes and every line below it: the job gets defaults. "
        "Put long lists into a file on a volume and name the file."
    ),
    wrong=in_env("HOROVOD_NOTE=" + "0123456789" * 6600),
    right=in_env("HOROVOD_NOTE=/outputs/note.txt"),
    explains_render=True,
)
def _line_length(subject: Subject) -> Iterator[Problem]:
    for name, file in subject.files.env_files.items():
        if file.too_long is not None:
            yield Problem(
                f"kustomize drops this line and all that follows: more than {LONGEST_LINE} bytes",
                "shorten it, for instance by the path of a file on a volume",
                Place(name, file.too_long),
            )
