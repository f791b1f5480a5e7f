"""Rules over mlops.env and the folders it names.

Each case is one mistake in an overlay that has none, and all that `check` says about it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.overlays import container, findings, first_lines, pod

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "quotes around a value": (
        dict(env=("MODEL_DIR=/workspace", 'MODEL_DIR="/workspace"')),
        ['error env-quoted mlops.env:7 the quotes are part of the value of `MODEL_DIR`: "/workspace"'],
    ),
    "export in front of a key": (
        dict(env=("IMAGE_TAG=", "export IMAGE_TAG=")),
        ["error env-export mlops.env:3 `export` is part of the key: export IMAGE_TAG"],
    ),
    "white space around the equals sign": (
        dict(env=("IMAGE_TAG=", "IMAGE_TAG = ")),
        ["error env-space mlops.env:3 white space is part of the key or the value: IMAGE_TAG =' 0.1.0'"],
    ),
    "white space behind a value": (
        dict(env=("MLOPS_PRESET=demo", "MLOPS_PRESET=demo ")),
        ["error env-space mlops.env:13 white space is part of the key or the value: MLOPS_PRESET='demo '"],
    ),
    "a comment behind a value": (
        dict(env=("MODEL_NAME=resnet50v1_5", "MODEL_NAME=resnet50v1_5 # the model")),
        ["warning env-comment mlops.env:10 the comment is part of the value of `MODEL_NAME`: resnet50v1_5 # the model"],
    ),
    "a key twice": (
        dict(env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0\nIMAGE_TAG=0.2.0")),
        ["error env-duplicate mlops.env:4 `IMAGE_TAG` is a duplicate key, first on line: 3"],
    ),
    "no value": (
        dict(env=("DATASET_DIR=/datasets", "DATASET_DIR=")),
        ["error env-empty mlops.env:5 no value for: DATASET_DIR"],
    ),
    "Windows line ends": (
        dict(env=("IMAGE_TAG=0.1.0\n", "IMAGE_TAG=0.1.0\r\n")),
        ["warning env-crlf mlops.env:3 Windows line ends: CRLF"],
    ),
    "a byte order mark": (
        dict(env=("# Where the image", "\ufeff# Where the image")),
        ["warning env-bom mlops.env:1 byte order mark at the start: U+FEFF"],
    ),
    "a key that is no name": (
        dict(env=("MLOPS_PRESET=demo", "MLOPS_PRESET=demo\n2ND=x")),
        ["error env-name mlops.env:14 not the name of a variable: 2ND"],
    ),
    "a misspelt key": (
        dict(env=("DATASET_DIR=", "DATASETDIR=")),
        ["error env-missing mlops.env the key is missing: DATASET_DIR", "error env-unknown mlops.env:5 nothing reads this key: DATASETDIR"],
    ),
    "a key that nothing reads": (
        dict(env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0\nPEPPER=1")),
        ["error env-unknown mlops.env:4 nothing reads this key: PEPPER"],
    ),
    "a key of the user's own in a Pod, where it reaches the process": (
        dict(mode="single-node", env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0\nPEPPER=1\nHTTPS_PROXY=http://proxy:3128\nTZ=Europe/Berlin")),
        [],
    ),
    "a slip in a Pod": (
        dict(mode="single-node", env=("IMAGE_TAG=0.1.0", "IMAGE_TAG=0.1.0\nMLOP_SEED=1\nHTTP_PROXI=x")),
        [
            "error env-unknown mlops.env:4 nothing reads this key: MLOP_SEED",
            "error env-unknown mlops.env:5 nothing reads this key: HTTP_PROXI",
        ],
    ),
    "a missing key": (
        dict(env=("IMAGE_TAG=0.1.0\n", ""), render_error="kubectl does not render the overlay: fieldPath `data.IMAGE_TAG` is missing"),
        ["error env-missing mlops.env the key is missing: IMAGE_TAG"],
    ),
    "ROOT left in MODEL_DIR": (
        dict(env=("MODEL_DIR=/workspace", "MODEL_DIR=ROOT/package")),
        ["error path-placeholder mlops.env:7 the placeholder is still in `MODEL_DIR`: ROOT/package"],
    ),
    "a relative path": (
        dict(env=("DATASET_DIR=/datasets", "DATASET_DIR=datasets")),
        ["error path-relative mlops.env:5 `DATASET_DIR` is not an absolute path: datasets"],
    ),
    "a path that goes upwards": (
        dict(env=("OUTPUT_DIR=/outputs/", "OUTPUT_DIR=/outputs/../")),
        ["error path-relative mlops.env:9 `OUTPUT_DIR` contains `..`: /outputs/../resnet50v1-5-multi-node"],
    ),
    "OUTPUT_DIR is the mount path": (
        dict(env=("OUTPUT_DIR=/outputs/resnet50v1-5-multi-node", "OUTPUT_DIR=/outputs")),
        ["error output-is-mount mlops.env:9 OUTPUT_DIR is the mount path of volume `outputs`: /outputs"],
    ),
    "OUTPUT_DIR on no volume": (
        dict(env=("OUTPUT_DIR=/outputs/", "OUTPUT_DIR=/results/")),
        ["error output-not-kept mlops.env:9 OUTPUT_DIR is on no volume that outlives the pod: /results/resnet50v1-5-multi-node"],
    ),
    "OUTPUT_DIR on an emptyDir": (
        dict(env=("OUTPUT_DIR=/outputs/", "OUTPUT_DIR=/tmp/")),
        ["error output-not-kept mlops.env:9 OUTPUT_DIR is on no volume that outlives the pod: /tmp/resnet50v1-5-multi-node"],
    ),
    "OUTPUT_DIR on the read-only dataset": (
        dict(env=("OUTPUT_DIR=/outputs/", "OUTPUT_DIR=/datasets/")),
        [
            "error output-read-only mlops.env:9 OUTPUT_DIR lies on volume `datasets`, which is mounted read-only: "
            "/datasets/resnet50v1-5-multi-node"
        ],
    ),
    "DATASET_DIR on no volume": (
        dict(env=("DATASET_DIR=/datasets", "DATASET_DIR=/data")),
        ["error dataset-not-mounted mlops.env:5 DATASET_DIR is on no volume with data in role Launcher: /data"],
    ),
    "two volumes at one path": (
        dict(
            env=("DATASET_DIR=/datasets", "DATASET_DIR=/outputs"),
            change=lambda o: [
                m.update(mountPath="/outputs")
                for r in ("Launcher", "Worker")
                for m in container(o, r)["volumeMounts"]
                if m["name"] == "datasets"
            ],
        ),
        [
            "error mount-collision mlops.env:5 two volumes are mounted in Launcher, `datasets` and `outputs`, at: /outputs",
            "error output-read-only mlops.env:9 OUTPUT_DIR lies on volume `datasets`, which is mounted read-only: "
            "/outputs/resnet50v1-5-multi-node",
        ],
    ),
    "MODEL_DIR on no volume": (
        dict(env=("MODEL_DIR=/workspace", "MODEL_DIR=/package")),
        ["error model-not-mounted mlops.env:7 MODEL_DIR is on no volume and not the image's own in role Launcher: /package"],
    ),
    "a volume that is not declared": (
        dict(change=lambda o: pod(o)["volumes"].pop(0)),
        [
            "error volume-missing mlops-job-patch.yaml:28 role Worker mounts a volume that is not declared: datasets",
            "error dataset-not-mounted mlops.env:5 DATASET_DIR is on no volume with data in role Worker: /datasets",
        ],
    ),
}


@pytest.mark.parametrize("mistake", CASES)
def test_a_mistake_is_named(mistake: str) -> None:
    overlay, expected = CASES[mistake]
    assert first_lines(findings(**overlay)) == expected
