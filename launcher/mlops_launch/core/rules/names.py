"""Rules over names, images and scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.contract import IMAGE_TAG, MODEL_DIR, MODEL_SCRIPT, REGISTRY
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.values import did_you_mean, is_dns_label
from mlops_launch.core.rules.base import Place, Problem, Subject
from mlops_launch.core.rules.example import in_env, in_kustomization
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.workload import kinds

# Hosts that documentation writes (RFC 2606), and words in their place.
_PLACEHOLDER = re.compile(
    r"(?:.*\.)?example(?:\.(?:com|org|net))?|(?:your[-_.]?|my[-_])?registry|your[-_].*|change[-_]?me|todo|x{3,}", re.IGNORECASE
)


# mpi-operator also makes a Service of the name: DNS-1035, which starts with a letter.
_HOST = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
# A Pod's own name: a DNS subdomain.
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@rule(
    "name-length",
    ERROR,
    "A name of the workload or its pods is not valid",
    why=(
        "mpi-operator needs a DNS label that starts with a letter and has, together with `-worker-N`, at most 63 characters; "
        "else it gives an event and no condition, and the job waits forever. A Pod's name may have dots and 253 characters."
    ),
    wrong=in_kustomization("namePrefix: images-of-the-vision-group-on-the-second-floor-"),
    right=in_kustomization("namePrefix: vision-"),
    any_job=True,
)
def _pod_name(subject: Subject) -> Iterator[Problem]:
    job = subject.workload
    if job is None:
        return
    last = kinds.lookup(job.kind).longest_pod(job)
    if last == job.name:
        is_right, hint = len(last) <= 253 and _SUBDOMAIN.fullmatch(last), "lower-case letters, digits, `-` and `.`, at most 253 characters"
    else:
        is_right = _HOST.fullmatch(last) and _HOST.fullmatch(job.name)
        hint = "lower-case letters, digits and `-`, a letter first, at most 63 characters together with `-worker-N`"
    if not is_right:
        of = "a pod" if last == job.name or _HOST.fullmatch(last) is None else f"the {job.kind}"
        name = job.name if of != "a pod" else last
        yield Problem(f"{of} cannot have this name of {len(name)} characters: {name}", hint, _at_name(subject))


def _at_name(subject: Subject) -> Place:
    """Return where the name comes from: the kustomization's prefix or suffix, else the patch."""
    tree = subject.files.kustomization_tree
    for field in ("namePrefix", "nameSuffix"):
        if yamltext.child(tree, field) is not None:
            return Place(subject.files.kustomization, yamltext.line_of(tree, (field,)))
    return subject.at_patch(("metadata", "name"))


@rule(
    "namespace",
    ERROR,
    "`namespace` is not the name of a namespace",
    why="The API server refuses it.",
    wrong=in_kustomization("namespace: My_Space"),
    right=in_kustomization("namespace: my-space"),
    any_job=True,
)
def _namespace(subject: Subject) -> Iterator[Problem]:
    tree = subject.files.kustomization_tree
    name = yamltext.scalar(yamltext.child(tree, "namespace"))
    if name and not is_dns_label(name):
        place = Place(subject.files.kustomization, yamltext.line_of(tree, ("namespace",)))
        yield Problem(f"not the name of a namespace: {name}", "lower-case letters, digits and `-`, at most 63 characters", place)


@rule(
    "registry-placeholder",
    WARNING,
    "REGISTRY still has its placeholder",
    why="A cluster cannot pull the image; a local run does not need it.",
    wrong=in_env("REGISTRY=registry.example.com/mlops"),
    right=in_env("REGISTRY=ghcr.io/me"),
)
def _placeholder_registry(subject: Subject) -> Iterator[Problem]:
    value = subject.value(REGISTRY)
    if value is not None and (value.startswith("<") or _PLACEHOLDER.fullmatch(re.split("[:/]", value)[0])):
        yield Problem(
            f"the placeholder is still in `REGISTRY`: {value}",
            "write the registry that holds your image; a local run does not need it",
            subject.at_variable(REGISTRY),
        )


@rule(
    "registry-scheme",
    ERROR,
    "REGISTRY starts with a scheme",
    why="An image's name has no https:// in front.",
    wrong=in_env("REGISTRY=https://ghcr.io/me"),
    right=in_env("REGISTRY=ghcr.io/me"),
)
def _registry_scheme(subject: Subject) -> Iterator[Problem]:
    value = subject.value(REGISTRY)
    if value is not None and "://" in value:
        yield Problem(f"`REGISTRY` has a scheme: {value}", f"write {value.partition('://')[2]}", subject.at_variable(REGISTRY))


@rule(
    "image-tag",
    WARNING,
    "The image's tag is `latest` or missing",
    why="Two runs, or two pods of one run, may get different images.",
    wrong=in_env("IMAGE_TAG=latest"),
    right=in_env("IMAGE_TAG=0.1.0"),
)
def _image_tag(subject: Subject) -> Iterator[Problem]:
    seen = set()
    for role in subject.roles:
        image = str(role.containers[0].get("image") or "")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image and "@" not in image and tag in ("", "latest") and image not in seen:
            seen.add(image)
            yield Problem(
                f"the image may change between two runs: {image}",
                "give a fixed tag: `mlops-launch set OVERLAY --image-tag T`",
                subject.at_variable(IMAGE_TAG),
            )


@rule(
    "script-missing",
    ERROR,
    "MODEL_SCRIPT is not in quickstart/",
    why="The container's command would not be found.",
    wrong=in_env("MODEL_SCRIPT=fp32_training_multinode.sh"),
    right=in_env("MODEL_SCRIPT=fp32_training_multi_node.sh"),
)
def _script(subject: Subject) -> Iterator[Problem]:
    value = subject.value(MODEL_SCRIPT)
    if value and subject.package.scripts and value not in subject.package.scripts:
        near = did_you_mean(value, subject.package.scripts)
        yield Problem(
            f"no such script in quickstart/: {value}",
            f"did you mean `{near}`?"
            if near
            else f"one of {', '.join(sorted(subject.package.scripts))}, in {subject.value(MODEL_DIR) or 'MODEL_DIR'}/quickstart",
            subject.at_variable(MODEL_SCRIPT),
        )
