"""What the image holds, and what it must not hold."""

import json

from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.training_image import TrainingImage
from tests.e2e.test_cluster import pod, wait_for

# A pod as any uid, with a read-only root, looks at its own image.
LOOK = """
import glob, json, os, shutil
from pathlib import Path
tools = "cc c++ gcc g++ clang make ld as cmake ninja pip pip3 sudo"
print(json.dumps({
    "tools": [name for name in tools.split() if shutil.which(name)],
    # The pod's own token lies in kubernetes.io.
    "secrets": sorted(set(os.listdir("/run/secrets")) - {"kubernetes.io"}),
    "pip settings": [name for name in ("/etc/pip.conf", "/root/.config/pip/pip.conf", "/root/.pip/pip.conf") if os.path.exists(name)],
    "certificates of the build": len(glob.glob("/usr/local/share/ca-certificates/**/*.crt", recursive=True)),
    "host keys": glob.glob("/etc/ssh/ssh_host_*"),
    "unreadable": [str(path) for path in Path("/workspace").rglob("*") if not os.access(path, os.R_OK)],
    "without byte code": [str(path) for path in Path("/workspace").rglob("*.py") if not any(path.parent.glob(f"*/{path.stem}.*.pyc"))],
    "writable": [name for name in ("/", "/workspace", "/usr/local", "/home/mlops") if os.access(name, os.W_OK)],
}))
"""


def test_the_image_holds_no_compiler_no_secret_and_no_key(kubectl: Kubectl, image: TrainingImage, namespace: str) -> None:
    kubectl.apply(pod(namespace, "look", image.name, "python3", "-c", LOOK))
    wait_for(kubectl, namespace, "pod/look", "jsonpath={.status.phase}=Succeeded")
    found = json.loads(kubectl("-n", namespace, "logs", "look").stdout)
    assert {name: what for name, what in found.items() if what} == {}


def test_the_history_of_the_image_names_nothing_of_the_machine_that_built_it(image: TrainingImage) -> None:
    config = json.loads((image.blobs / image.config).read_text())
    written = json.dumps([config["config"], config["history"]])
    assert [word for word in ("index-url", "ca-certificates.crt", "/root/", "PIP_CERT", "PIP_CONFIG_FILE") if word in written] == []
    assert config["config"]["User"] == "1000:1000"


def test_our_own_code_is_the_small_last_layers(image: TrainingImage) -> None:
    base, system, packages, horovod, *own = image.layer_sizes
    assert packages > 1 << 30
    assert sum(own) < 16 << 20
    assert sum(image.layer_sizes) < 2200 << 20
