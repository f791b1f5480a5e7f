"""Where the test cluster lives and which addresses it has; read from the environment once, then passed along."""

import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "v1.36.3"
NODE = "e2e-node"
BRIDGE = "mlops-e2e0"
HOST_LINK = "mlops-e2e"
"""The only link on the host: one end of the pair that leads into the cluster."""
POD_NETWORK = "10.244.0.0/24"
NODE_ADDRESS = "10.244.0.1"
LINK_NETWORK_HOST, LINK_NETWORK_CLUSTER = "10.244.1.1", "10.244.1.2"
SERVICE_NETWORK, API_SERVICE_ADDRESS = "10.96.0.0/16", "10.96.0.1"
CGROUP = "mlops-e2e"
PAUSE_IMAGE = "e2e.local/pause:1"

SOURCE = Path(__file__).resolve().parent
REPOSITORY = SOURCE.parents[2]


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says what and where to look."""


@dataclass(frozen=True)
class Settings:
    """Folders of one cluster: `cache` outlives it (programs, images), `work` is its own and is emptied by `down`."""

    cache: Path
    work: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; never the user's own."""
        return self.work / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One `NAME.log` a component; kept by `down`, replaced by the next `up`."""
        return self.work / "logs"

    @property
    def records(self) -> Path:
        """One `NAME.json` a started process."""
        return self.work / "processes"


def from_environment() -> Settings:
    """Cache in the user's cache folder (`XDG_CACHE_HOME`), work folder below it or in `E2E_DIR`.

    Raises:
        ClusterError: E2E_DIR lies below a folder that the cluster covers with its own.
    """
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(home) / "mlops-launch" / "e2e"
    work = Path(os.environ.get("E2E_DIR") or cache / "cluster").resolve()
    for covered in ("/run", "/var/lib", "/var/log", "/var/run"):
        if work.is_relative_to(covered):
            raise ClusterError(f"E2E_DIR lies below `{covered}`, which the cluster replaces for its processes: {work}")
    return Settings(cache=cache, work=work)
