"""A rule over the comments that accept a finding."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.core.overlay.values import did_you_mean
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_env
from mlops_launch.core.rules.rule import WARNING, rule


@rule(
    "ignore-comment",
    WARNING,
    "A comment that ignores a rule has no effect",
    why=(
        "`# mlops-launch: ignore RULE-ID: reason` accepts what that rule finds on its own line or on the line below; at the top of a file "
        "also what it finds in the file as a whole, and at the top of kustomization.yaml what belongs to no file. "
        "A comment that names no rule, gives no reason or has nothing to accept would hide a mistake that comes later."
    ),
    wrong=in_env("# mlops-launch: ignore image-tag: we always test the newest image\nIMAGE_TAG=0.1.0"),
    right=in_env("# mlops-launch: ignore image-tag: we always test the newest image\nIMAGE_TAG=latest"),
    any_job=True,
)
def without_effect(subject: Subject) -> Iterator[Problem]:
    """Say what is wrong with the comments that accept nothing; the registry finds them."""
    for silence in subject.unused_silences:
        place = Place(silence.file, silence.line)
        if silence.rule not in subject.rule_ids:
            near = did_you_mean(silence.rule, subject.rule_ids)
            hint = f"did you mean `{near}`?" if near else "`mlops-launch check --rules` lists the rules"
            yield Problem(f"no such rule to ignore: {silence.rule or 'none is named'}", hint, place)
        elif not silence.reason:
            hint = f"write `# mlops-launch: ignore {silence.rule}: REASON`"
            yield Problem(f"no reason is given to ignore: {silence.rule}", hint, place)
        elif subject.workload is not None:
            yield Problem(f"nothing to ignore here: {silence.rule}", "remove the comment, or put it on the line above the finding", place)
