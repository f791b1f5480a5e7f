"""Where the test cluster lives and which addresses it has; read from the environment once, then passed along."""

import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "v1.36.3"
NODE = "e2e-node"
BRIDGE = "pods"
SERVICE_NETWORK, API_SERVICE_ADDRESS = "10.96.0.0/16", "10.96.0.1"
PAUSE_IMAGE = "e2e.local/pause:1"
SMALL_IMAGE = "e2e.local/small:1"

SOURCE = Path(__file__).resolve().parent
REPOSITORY = SOURCE.parents[2]


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message says what and where to look."""


@dataclass(frozen=True)
class Settings:
    """One cluster: `cache` outlives it (programs, images), `work` is its own and is emptied by `down`.

    `number`, 0 to 9, keeps the addresses and names on the host of clusters apart that run at the same time.
    """

    cache: Path
    work: Path
    number: int = 0

    @property
    def name(self) -> str:
        """Of the cgroup and of the only link on the host: one end of the pair that leads into the cluster."""
        return f"mlops-e2e-{self.number}"

    @property
    def node_address(self) -> str:
        """The bridge's address, which pods and the host both reach; the API server listens there."""
        return f"10.{240 + self.number}.0.1"

    @property
    def pod_network(self) -> str:
        """The bridge's network."""
        return f"10.{240 + self.number}.0.0/24"

    @property
    def link_addresses(self) -> tuple[str, str]:
        """The host's and the cluster's end of the link pair."""
        return f"10.{240 + self.number}.1.1", f"10.{240 + self.number}.1.2"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; never the user's own."""
        return self.work / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One `NAME.log` a component; kept by `down`, replaced by the next `up`."""
        return self.work / "logs"

    @property
    def srv(self) -> Path:
        """What the node sees as /srv: the place for hostPath volumes."""
        return self.work / "srv"

    @property
    def records(self) -> Path:
        """One `NAME.json` a started process."""
        return self.work / "processes"


def from_environment(beside: int = 0) -> Settings:
    """Cache in the user's cache folder (`XDG_CACHE_HOME`), work folder below it or below `E2E_DIR`, number in `E2E_NUMBER`.

    `beside` is added to the number: how many clusters of the same run come before this one.

    Raises:
        ClusterError: E2E_DIR lies below a folder that the cluster covers with its own; the number is not 0 to 9.
    """
    first = os.environ.get("E2E_NUMBER") or "0"
    if first not in tuple("0123456789") or int(first) + beside > 9:
        raise ClusterError(f"E2E_NUMBER and the clusters beside it are not 0 to 9: {first} and {beside} more")
    number = int(first) + beside
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(home) / "mlops-launch" / "e2e"
    work = (Path(os.environ.get("E2E_DIR") or cache) / f"cluster-{number}").resolve()
    for covered in ("/run", "/srv", "/var/lib", "/var/log", "/var/run"):
        if work.is_relative_to(covered):
            raise ClusterError(f"E2E_DIR lies below `{covered}`, which the cluster replaces for its processes: {work}")
    return Settings(cache, work, number)
