"""Rules over JobSets: what JobSet's controller refuses, and what would be retried for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import findings, first_lines

Json = dict[str, Any]


def spec_of(objects: dict[str, Json]) -> Json:
    spec: Json = objects["JobSet"]["spec"]
    return spec


def worker(objects: dict[str, Json]) -> Json:
    found: Json = spec_of(objects)["replicatedJobs"][0]
    return found


CASES = {
    "no workers": (
        lambda o: worker(o).update(replicas=0),
        ["error jobset-replicas jobset-patch.yaml:8 `replicas` of the role worker must be a whole number of 1 or more: 0"],
    ),
    "a text": (
        lambda o: worker(o).update(replicas="2"),
        [
            "error jobset-replicas jobset-patch.yaml:8 `replicas` of the role worker must be a whole number of 1 or more, "
            + 'and not a text: "2"'
        ],
    ),
    "an index too high": (
        lambda o: spec_of(o)["coordinator"].update(jobIndex=2),
        ["error jobset-coordinator jobset-patch.yaml:5 the coordinator is not a pod of the JobSet: worker-2-0"],
    ),
    "a pod index too high": (
        lambda o: spec_of(o)["coordinator"].update(podIndex=1),
        ["error jobset-coordinator jobset-patch.yaml:5 the coordinator is not a pod of the JobSet: worker-0-1"],
    ),
    "another role": (
        lambda o: spec_of(o)["coordinator"].update(replicatedJob="chief"),
        ["error jobset-coordinator jobset-patch.yaml:5 the coordinator is not a pod of the JobSet: chief-0-0"],
    ),
    "no coordinator": (lambda o: spec_of(o).pop("coordinator"), []),
    "success of nobody": (
        lambda o: spec_of(o)["successPolicy"].update(targetReplicatedJobs=["chief"]),
        ["error jobset-success jobset-patch.yaml:5 success waits for a role that is not there: chief"],
    ),
    "the default restart policy": (
        lambda o: worker(o)["template"]["spec"]["template"]["spec"].pop("restartPolicy"),
        [
            "error jobset-restart-policy jobset-patch.yaml:12 a failed container of the role worker would be started again in its pod: "
            "restartPolicy OnFailure, the default"
        ],
    ),
    "no failure policy of the pods": (
        lambda o: worker(o)["template"]["spec"].pop("podFailurePolicy"),
        ["warning jobset-permanent jobset-patch.yaml:5 a permanent failure would be retried 3 times, of the role: worker"],
    ),
    "no rule of the set": (
        lambda o: spec_of(o)["failurePolicy"].pop("rules"),
        ["warning jobset-permanent jobset-patch.yaml:5 a permanent failure would be retried 3 times, of the role: worker"],
    ),
    "no restarts": (lambda o: spec_of(o).pop("failurePolicy"), []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_found(case: str) -> None:
    change, wanted = CASES[case]
    found = findings("all-reduce", change=change)
    assert first_lines(found) == wanted
