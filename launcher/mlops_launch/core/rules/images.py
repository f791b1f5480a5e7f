"""Rules over the images of the rendered containers: a valid reference, and the one that mlops.env names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops_launch.contract import IMAGE_TAG, REGISTRY
from mlops_launch.core.overlay import yamltree as yamltext
from mlops_launch.core.overlay.imagenames import is_reference, is_tag
from mlops_launch.core.overlay.reach import items
from mlops_launch.core.rules.base import Place, Problem, Subject, all_containers
from mlops_launch.core.rules.example import in_env, in_kustomization, in_worker
from mlops_launch.core.rules.rule import ERROR, WARNING, rule
from mlops_launch.core.rules.shell import is_shell

_NAME = "mlops-launch"  # the image's, in the replacements of the overlays


def _told_elsewhere(key: str, value: str) -> bool:
    """Return whether a rule on mlops.env or on REGISTRY says what is wrong with the value."""
    of_registry = key == REGISTRY and (value.startswith("<") or "://" in value)
    return of_registry or value != value.strip() or value.startswith(('"', "'")) or is_shell(value)


@rule(
    "image-invalid",
    ERROR,
    "An image is not a valid reference",
    why=(
        "A registry and path in lower case, one tag of letters, digits, `_`, `.` and `-`, perhaps a digest. "
        "Nothing refuses it before the kubelet does: the pods wait with InvalidImageName."
    ),
    wrong=in_env("IMAGE_TAG=my tag"),
    right=in_env("IMAGE_TAG=my-tag"),
    any_job=True,
)
def _invalid(subject: Subject) -> Iterator[Problem]:
    told: set[str] = set()
    for role in subject.roles:
        for container in all_containers(role):
            image = str(container["image"])
            if image in told or is_reference(image):
                continue
            told.add(image)
            registry, tag = subject.value(REGISTRY) or "", subject.value(IMAGE_TAG) or ""
            if not image.startswith(f"{registry}/{_NAME}") or not is_tag(tag):
                key, value, hint = (
                    IMAGE_TAG,
                    tag,
                    f"`{IMAGE_TAG}` is letters, digits, `_`, `.` and `-`, perhaps with a digest: 0.1.0@sha256:…",
                )
            else:
                key, value, hint = REGISTRY, registry, f"`{REGISTRY}` is host[:port][/path] in lower case, without a `/` at its end"
            if f"{_NAME}@" in image and "@" not in tag:
                hint = f"IMAGE_TAG is written behind the digest of `images`: remove that entry and write `{IMAGE_TAG}={tag}@sha256:…`"
            if not _told_elsewhere(key, value):
                place = subject.at_variable(key) if value in image else subject.at_pod(role, "containers")
                yield Problem(f"not a valid image: {image}", hint, place)


@rule(
    "image-differs",
    ERROR,
    "The image is not the one of REGISTRY and IMAGE_TAG",
    why=(
        "kustomize copies both into the image where the `replacements` stand. Those of a base run before the values of an overlay on it, "
        "and before its patches: an image that a patch names is cut up, and new values stay without effect."
    ),
    wrong=in_worker("""
        containers:
        - name: worker
          image: ghcr.io/acme/trainer:5
        """),
    right=in_env("REGISTRY=ghcr.io/acme\nIMAGE_TAG=5"),
)
def _differs(subject: Subject) -> Iterator[Problem]:
    registry, tag = subject.value(REGISTRY), subject.value(IMAGE_TAG)
    if not registry or not tag or _told_elsewhere(REGISTRY, registry) or _told_elsewhere(IMAGE_TAG, tag):
        return
    own, told = _own_images(subject), set()
    for role in subject.roles:
        image = str(role.containers[0]["image"])
        is_meant = image == f"{registry}/{_NAME}:{tag}" or image in own or any(_gives(entry, image) for _, entry in _entries(subject))
        if not is_meant and image not in told and is_reference(image):
            told.add(image)
            key = IMAGE_TAG if not image.endswith(f":{tag}") else REGISTRY
            yield Problem(
                f"the image of {role.name} is not {registry}/{_NAME}:{tag}, as {REGISTRY} and {IMAGE_TAG} say, but: {image}",
                "set both in the mlops.env beside the `replacements`; an overlay on another one names another image by `images`",
                subject.at_variable(key),
            )


@rule(
    "images-without-effect",
    WARNING,
    "An entry of `images` changes nothing",
    why="The replacements of the overlay run behind it and write REGISTRY and IMAGE_TAG over what it gives; or no image has its name.",
    wrong=in_kustomization("""
        images:
        - name: registry/mlops-launch
          newTag: 0.2.0
        """),
    right=in_env("IMAGE_TAG=0.2.0"),
)
def _without_effect(subject: Subject) -> Iterator[Problem]:
    images = {str(container["image"]) for role in subject.roles for container in all_containers(role)}
    for line, entry in _entries(subject) if images else ():
        if not any(_gives(entry, image) for image in images) and all(is_reference(image) for image in images):
            yield Problem(
                f"this entry of `images` changes nothing: {entry.get('name')}",
                f"set {REGISTRY} and {IMAGE_TAG} in mlops.env, and remove it",
                Place(subject.files.kustomization, line),
            )


def _entries(subject: Subject) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and fields of each entry of `images`."""
    for entry in items(yamltext.child(subject.files.kustomization_tree, "images")):
        fields = {key: yamltext.scalar(yamltext.child(entry, key)) for key in ("name", "newName", "newTag", "digest")}
        yield entry.start_mark.line + 1, {key: value for key, value in fields.items() if value}


def _gives(entry: dict[str, str], image: str) -> bool:
    name, tag, digest = entry.get("newName") or entry.get("name", ""), entry.get("newTag"), entry.get("digest")
    return (
        re.match(rf"{re.escape(name)}(?:[:@]|$)", image) is not None
        and (tag is None or f":{tag}" in image)
        and (digest is None or image.endswith(f"@{digest}"))
    )


def _own_images(subject: Subject) -> set[str]:
    """Return the images that the overlay's own YAML files name as they are."""
    found: set[str] = set()
    for name, trees in subject.files.trees.items():
        if name != subject.files.kustomization:
            found.update(text for tree in trees for text in yamltext.values_of(tree, "image"))
    for patch in subject.files.own_patches:
        found.update(text for tree in (*patch.documents, *patch.operations) for text in yamltext.values_of(tree, "image"))
        for operation in patch.operations:
            if (yamltext.scalar(yamltext.child(operation, "path")) or "").endswith("/image"):
                found.add(yamltext.scalar(yamltext.child(operation, "value")) or "")
    return found
