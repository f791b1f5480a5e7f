"""The cluster's own container engine: Debian's containerd and CNI plugins inside the sandbox, never the system's."""

import json
import time
from pathlib import Path

from . import processes
from .sandbox import Sandbox
from .settings import BRIDGE, PAUSE_IMAGE, ClusterError, Settings

CONFIG = """\
version = 2
# The `opt` plugin makes a folder in /opt, which is the host's.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE no score below one's own can be set, and runc would stop there.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{work}/cni"
"""


def start(settings: Settings, sandbox: Sandbox) -> None:
    """Starts the engine with the bridge plugin on the cluster's bridge."""
    subnet = {"subnet": settings.pod_network, "rangeStart": settings.pod_network.replace("0/24", "10")}
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        # A pod may reach itself through its own Service.
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[subnet]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    (settings.work / "cni").mkdir(exist_ok=True)
    (settings.work / "cni" / "10-bridge.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "mlops-e2e", "plugins": [bridge]}))
    config = settings.work / "containerd.toml"
    config.write_text(CONFIG.format(pause=PAUSE_IMAGE, work=settings.work))
    processes.start(settings, sandbox, "containerd", ["containerd", "--config", config])


def wait(settings: Settings, sandbox: Sandbox, seconds: float = 20) -> None:
    """Waits until the engine answers.

    Raises:
        ClusterError: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while sandbox.enter(["ctr", "version"], check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise ClusterError(f"containerd does not answer after {seconds:.0f} s, see {settings.logs / 'containerd.log'}")
        time.sleep(0.1)


def load_image(sandbox: Sandbox, archive: Path, *names: str) -> None:
    """Imports an OCI or Docker archive that holds one image, under each of the names (full ones, with registry and tag)."""
    imported = sandbox.enter(["ctr", "-n", "k8s.io", "images", "import", str(archive)]).stdout.split()[1]
    for name in names:
        if name != imported:
            sandbox.enter(["ctr", "-n", "k8s.io", "images", "tag", "--force", imported, name])


def image_names(sandbox: Sandbox) -> set[str]:
    """The full names of the images that the engine holds."""
    return set(sandbox.enter(["ctr", "-n", "k8s.io", "images", "list", "-q"]).stdout.split())
