"""Rules over names, images, scripts and presets."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_launch.contract import IMAGE_TAG, MODEL_DIR, MODEL_NAME, MODEL_SCRIPT, PRESET, REGISTRY
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.edits import PRESETS
from mlops_launch.core.overlay.values import did_you_mean, is_dns_label
from mlops_launch.core.rules.base import Place, Problem, Rule, Subject, containers, is_integer

_PLACEHOLDER_REGISTRIES = ("registry.example.com", "example.com", "registry", "<")
_RESNET = "resnet50v1_5"


def _variable(subject: Subject, key: str) -> str | None:
    if subject.roles and key in (variables := subject.variables(subject.roles[0])):
        return variables[key]
    found = subject.files.env(key)
    return found[1].value if found else None


def _pod_name(subject: Subject) -> Iterator[Problem]:
    job = subject.workload
    if job is None:
        return
    count = job.roles[1].replicas if job.kind == "MPIJob" else 1
    last = f"{job.name}-worker-{max(0, count - 1) if is_integer(count) else 0}" if job.kind == "MPIJob" else job.name
    if not is_dns_label(last):
        yield Problem(
            f"a pod cannot have this name of {len(last)} characters: {last}",
            "lower-case letters, digits and `-`, at most 63 characters together with `-worker-N`",
            subject.at_patch(("metadata", "name")),
        )


def _training_in_name(subject: Subject) -> Iterator[Problem]:
    if subject.workload is not None and subject.workload.kind == "Pod" and "training" not in subject.workload.name:
        yield Problem(
            f"the Pod's name does not contain `training`: {subject.workload.name}",
            "`kubectl get pods -oname | grep training` finds it by that",
            subject.at_patch(("metadata", "name")),
        )


def _namespace(subject: Subject) -> Iterator[Problem]:
    tree = subject.files.kustomization_tree
    name = yamltext.scalar(yamltext.child(tree, "namespace"))
    if name is not None and not is_dns_label(name):
        place = Place(subject.files.kustomization, yamltext.line_of(tree, ("namespace",)))
        yield Problem(f"not the name of a namespace: {name}", "lower-case letters, digits and `-`, at most 63 characters", place)


def _placeholder_registry(subject: Subject) -> Iterator[Problem]:
    value = _variable(subject, REGISTRY)
    if value is not None and value.partition("/")[0] in _PLACEHOLDER_REGISTRIES or (value or "").startswith("<"):
        yield Problem(
            f"the placeholder is still in `REGISTRY`: {value}",
            "write the registry that holds your image; a local run does not need it",
            subject.at_variable(REGISTRY),
        )


def _registry_scheme(subject: Subject) -> Iterator[Problem]:
    value = _variable(subject, REGISTRY)
    if value is not None and "://" in value:
        yield Problem(f"`REGISTRY` has a scheme: {value}", f"write {value.partition('://')[2]}", subject.at_variable(REGISTRY))


def _image_tag(subject: Subject) -> Iterator[Problem]:
    seen = set()
    for role in subject.roles:
        image = str(containers(role)[0].get("image") or "")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image and "@" not in image and tag in ("", "latest") and image not in seen:
            seen.add(image)
            yield Problem(
                f"the image may change between two runs: {image}",
                "give a fixed tag: `mlops-launch set OVERLAY --image-tag T`",
                subject.at_variable(IMAGE_TAG),
            )


def _script(subject: Subject) -> Iterator[Problem]:
    value = _variable(subject, MODEL_SCRIPT)
    if value and subject.scripts is not None and value not in subject.scripts:
        near = did_you_mean(value, subject.scripts)
        yield Problem(
            f"no such script in quickstart/: {value}",
            f"did you mean `{near}`?"
            if near
            else f"one of {', '.join(sorted(subject.scripts))}, in {_variable(subject, MODEL_DIR) or 'MODEL_DIR'}/quickstart",
            subject.at_variable(MODEL_SCRIPT),
        )


def _preset(subject: Subject) -> Iterator[Problem]:
    value = (_variable(subject, PRESET) or "").strip()
    if value and value not in PRESETS and _variable(subject, MODEL_NAME) == _RESNET:
        near = did_you_mean(value, PRESETS)
        yield Problem(
            f"no such preset: {value}",
            f"did you mean `{near}`?" if near else f"one of {', '.join(PRESETS)}",
            subject.at_variable(PRESET),
        )


RULES = (
    Rule(
        "name-length",
        "error",
        "A pod's name is too long or no DNS label",
        "`<name>-worker-N` must be a DNS label of at most 63 characters; "
        "mpi-operator then gives an event and no condition, and the job waits forever.",
        _pod_name,
    ),
    Rule(
        "name-training",
        "warning",
        "The Pod's name does not contain `training`",
        "Scripts find the pod by that word.",
        _training_in_name,
    ),
    Rule("namespace", "error", "`namespace` is no name of a namespace", "The API server refuses it.", _namespace),
    Rule(
        "registry-placeholder",
        "warning",
        "REGISTRY still has its placeholder",
        "A cluster cannot pull the image; a local run does not need it.",
        _placeholder_registry,
    ),
    Rule(
        "registry-scheme",
        "error",
        "REGISTRY starts with a scheme",
        "An image's name has no https:// in front.",
        _registry_scheme,
    ),
    Rule(
        "image-tag",
        "warning",
        "The image's tag is `latest` or missing",
        "Two runs, or two pods of one run, may get different images.",
        _image_tag,
    ),
    Rule(
        "script-missing",
        "error",
        "MODEL_SCRIPT is not in quickstart/",
        "The container's command would not be found.",
        _script,
    ),
    Rule("preset-unknown", "error", "MLOPS_PRESET names no preset", "The trainer would end with exit code 78.", _preset),
)
