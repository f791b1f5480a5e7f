"""What is rendered against itself: each kind of fault over free input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_launch.core.overlay.imagenames import is_reference
from mlops_launch.core.rules.devices import KNOWN_DEVICES
from mlops_launch.core.rules.shell import is_shell
from tests.unit.overlays import Objects, container, findings, pod

WORD = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True).filter(lambda word: len(word) < 40)
HOST = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9](\.[a-z][a-z0-9]{0,6}){0,2}(:[1-9][0-9]{1,4})?", fullmatch=True)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
IMAGE = st.builds(lambda host, path, tag: f"{host}/{'/'.join(path)}:{tag}", HOST, st.lists(WORD, min_size=1, max_size=3), TAG)


@given(image=IMAGE)
@example(image="localhost:5000/mlops-launch:latest")
@example(image="mlops-launch")
@example(image=f"ghcr.io/me/a__b/c--d:1@sha256:{'0' * 64}")
def test_a_valid_reference_is_one(image: str) -> None:
    assert is_reference(image)


@given(image=IMAGE, data=st.data())
def test_a_reference_with_a_wrong_character_is_none(image: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(image) - 1))
    assert not is_reference(image[:place] + data.draw(st.sampled_from(" $#?*{}\\\n\tÄ")) + image[place:])


@pytest.mark.parametrize(
    "image", ["", "ghcr.io/", "ghcr.io//a", "ghcr.io/Team/a:1", "a:", "a:1:2", "a:-1", "a@sha256:0.1.0", "https://a/b", "a/"]
)
def test_no_reference(image: str) -> None:
    assert not is_reference(image)


# Place, a right value, and values of other types.
TYPES: list[tuple[tuple[str, ...], Any, list[Any]]] = [
    (("terminationGracePeriodSeconds",), 30, ["30", True, 1.5, [], {}]),
    (("automountServiceAccountToken",), False, ["no", "false", 0, 1, []]),
    (("hostNetwork",), False, ["off", 0, {}]),
    (("nodeSelector",), {"gpu": "true"}, [{"gpu": True}, {"gpu": 1}, ["gpu"], "gpu"]),
    (("priorityClassName",), "high", [1, True, {}]),
    (("securityContext", "runAsNonRoot"), True, ["yes", "true", 1]),
    (("containers", "env", "value"), "1", [1, True, 0.5, [], {}]),
    (("containers", "args"), ["1"], [[1], [True], "1", {}, [None]]),
    (("containers", "workingDir"), "/w", [1, []]),
    (("containers", "securityContext", "readOnlyRootFilesystem"), True, ["yes", "on", 1]),
    (("containers", "tty"), False, ["n", "no"]),
]


def put(objects: Objects, path: tuple[str, ...], value: Any) -> None:
    place = container(objects) if path[0] == "containers" else pod(objects)
    rest = path[1:] if path[0] == "containers" else path
    if rest[0] == "env":
        place["env"].append({"name": "TF_X", "value": value})
        return
    for step in rest[:-1]:
        place = place[step]
    place[rest[-1]] = value


@pytest.mark.parametrize(("path", "right", "wrong"), TYPES, ids=[".".join(path) for path, _, _ in TYPES])
def test_a_wrong_type_is_said_as_a_type(path: tuple[str, ...], right: Any, wrong: list[Any]) -> None:
    assert findings("single-node", change=lambda objects: put(objects, path, right)) == []
    for value in wrong:
        found = findings("single-node", change=lambda objects, value=value: put(objects, path, value))  # type: ignore[misc]
        assert {finding.rule for finding in found if finding.severity == "error"} == {"field-type"}, (value, found)


@pytest.mark.parametrize("name", [5, 1.5, True])
def test_a_name_is_a_text(name: Any) -> None:
    found = findings("single-node", change=lambda objects: objects["Pod"]["metadata"].update(name=name))
    assert "field-type" in {finding.rule for finding in found if finding.severity == "error"}


@pytest.mark.parametrize(
    ("part", "resource", "amount", "rule"),
    [
        ("limits", "memory", "8MB", "quantity"),
        ("limits", "memory", "8", "quantity-unit"),
        ("limits", "nvidia.com/gpus", 1, "device-name"),
        ("requests", "nvidia.com/gpu", 1, "gpu-request"),
    ],
)
def test_what_an_init_container_asks_for_is_judged_too(part: str, resource: str, amount: Any, rule: str) -> None:
    def change(objects: Objects) -> None:
        restricted = container(objects)["securityContext"]
        first = {"name": "fetch", "image": "ghcr.io/me/fetch:1", "securityContext": restricted, "resources": {part: {resource: amount}}}
        pod(objects)["initContainers"] = [first]

    assert [finding.rule for finding in findings(change=change)] == [rule]


@pytest.mark.parametrize("value", [1, True, 1.5, ["a"]])
def test_labels_are_texts(value: Any) -> None:
    def of_the_job(objects: Objects) -> None:
        objects["MPIJob"]["metadata"]["labels"]["version"] = value

    def of_the_pods(objects: Objects) -> None:
        objects["MPIJob"]["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["metadata"]["labels"]["version"] = value

    assert [finding.rule for finding in findings(change=of_the_job)] == ["field-type"]
    assert [finding.rule for finding in findings(change=of_the_pods)] == ["field-type"]


def slips(name: str, draw: st.DataObject) -> str:
    """A name with one letter left out, doubled, swapped or changed."""
    place = draw.draw(st.integers(name.index("/") + 1, len(name) - 2))
    kind = draw.draw(st.sampled_from(["left out", "doubled", "swapped", "case"]))
    if kind == "left out":
        return name[:place] + name[place + 1 :]
    if kind == "doubled":
        return name[:place] + name[place] + name[place:]
    return name[:place] + name[place + 1] + name[place] + name[place + 2 :] if kind == "swapped" else name.upper()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_slip_in_a_device_s_name_is_named(data: st.DataObject) -> None:
    slip = slips(data.draw(st.sampled_from(KNOWN_DEVICES)), data)
    found = findings("single-node", change=lambda objects: container(objects)["resources"]["limits"].update({slip: 0}))
    assert [finding.rule for finding in found] == ([] if slip in KNOWN_DEVICES else ["device-name"])


@given(name=st.from_regex(r"[a-z]{3,8}\.(example|internal)/[a-z]{2,8}", fullmatch=True))
@settings(max_examples=30, deadline=None)
def test_a_vendor_of_one_s_own_is_right(name: str) -> None:
    assert findings("single-node", change=lambda objects: container(objects)["resources"]["limits"].update({name: 1})) == []


@pytest.mark.parametrize("resource", ["gpu", "gpus", "nvidia", "mem", "CPU", "Memory", "storage", "nvidia/gpu", "intel.com/gpu"])
def test_a_resource_without_a_vendor_is_named(resource: str) -> None:
    found = findings("single-node", change=lambda objects: container(objects)["resources"]["limits"].update({resource: 1}))
    assert [finding.rule for finding in found] == ["device-name"]


@given(names=st.lists(st.from_regex(r"[A-Z][A-Z0-9_]{0,6}", fullmatch=True), unique=True, max_size=4), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_reference_is_unresolved_exactly_when_nothing_above_has_it(names: list[str], data: st.DataObject) -> None:
    given_names = [name for name in names if data.draw(st.booleans())]
    escaped = [name for name in names if data.draw(st.booleans())]

    def change(objects: Objects) -> None:
        trains = container(objects)
        trains["env"] += [{"name": name, "value": "1"} for name in given_names]
        trains["args"] = [*trains["args"], *(f"$$({name})" if name in escaped else f"a$({name})b" for name in names), "$(date +%F)"]

    left = {name for name in names if name not in given_names and name not in escaped}
    found = [finding for finding in findings("single-node", change=change) if finding.rule == "reference-unresolved"]
    assert {finding.message.rpartition(": ")[2] for finding in found} == left


@pytest.mark.parametrize(
    "value", ["$HOME/x", "${USER}", "/o/$(date)", "`id -u`", "~/data", "~", "%USERPROFILE%", "${A:-b}", "/o/{{ .Release.Name }}", "%(run)s"]
)
def test_words_of_a_shell(value: str) -> None:
    assert is_shell(value)


@pytest.mark.parametrize(
    "value", ["", "a$", "5$", "$5", "100%", "a~b", "50% of 20%", "--x=$ORIGIN/lib", "a$$b", "`", "C:\\x", "{a}", "{ {b} }"]
)
def test_no_words_of_a_shell(value: str) -> None:
    assert not is_shell(value)
