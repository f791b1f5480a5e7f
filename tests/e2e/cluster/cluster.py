"""Up and down: the steps in their order, each waited for."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

from . import build, containerd, control_plane, images, processes
from .kubectl import Kubectl
from .sandbox import Sandbox, create, destroy, load
from .settings import NODE, PAUSE_IMAGE, ClusterError, Settings

COMPONENTS = {
    "etcd": control_plane.etcd,
    "kube-apiserver": control_plane.api_server,
    "kube-controller-manager": control_plane.controller_manager,
    "kube-scheduler": control_plane.scheduler,
    "kubelet": control_plane.kubelet,
    "kube-proxy": control_plane.proxy,
    "coredns": control_plane.dns,
}
ASK = "import sys, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=5)"
NEEDED = ("containerd", "runc", "iptables", "conntrack", "ip", "nsenter", "unshare", "openssl")


@dataclass(frozen=True)
class Cluster:
    """A running cluster: what tests ask it for."""

    settings: Settings
    programs: Path
    sandbox: Sandbox

    @property
    def kubectl(self) -> Kubectl:
        """This cluster's kubectl, as administrator."""
        return Kubectl(self.programs / "kubectl", self.settings.kubeconfig)

    def stop(self, component: str, signal: str = "TERM") -> None:
        """Ends a component by its name, e.g. `kube-apiserver`."""
        processes.stop(self.settings, self.sandbox, component, signal)

    def start(self, component: str) -> None:
        """Starts a component that was stopped, with the words it had."""
        record = processes.load(self.settings, component)
        if record is None:
            raise ClusterError(f"no such component: {component}")
        processes.start(self.settings, self.sandbox, component, record.argv)

    def restart(self, component: str, signal: str = "TERM") -> None:
        """Ends a component and starts it again."""
        processes.restart(self.settings, self.sandbox, component, signal)

    def load_image(self, archive: Path, *names: str) -> None:
        """Puts an image archive into the node's container engine."""
        containerd.load_image(self.sandbox, archive, *names)

    def wait_ready(self, seconds: float = 60) -> None:
        """Waits until API server, node, DNS, proxy and the default service account are ready.

        Raises:
            ClusterError: a part was not ready in time; it is named.
        """
        deadline = time.monotonic() + seconds
        self._wait_api_server(deadline)
        ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        self._until(deadline, "node", lambda: self._answers("get", "node", NODE, "-o", ready) == "True")
        self._until(deadline, "default service account", lambda: self._answers("get", "serviceaccount", "default") != "")
        self._until(deadline, "DNS", lambda: self._inside_answers("127.0.0.1:8181/ready"))
        self._until(deadline, "proxy", lambda: self._inside_answers("127.0.0.1:10256/healthz"))

    def wait(self, ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Waits until `ready` says so.

        Raises:
            ClusterError: not within `seconds`, or a component of the cluster ended meanwhile.
        """
        self._until(time.monotonic() + seconds, what, ready)

    def _wait_api_server(self, deadline: float) -> None:
        self._until(deadline, "API server", lambda: self._answers("get", "--raw", "/readyz") == "ok")

    def _until(self, deadline: float, part: str, ready: Callable[[], bool]) -> None:
        while not ready():
            core = [record for record in processes.recorded(self.settings) if record.name in COMPONENTS]
            ended = [record.name for record in core if not processes.alive(self.sandbox, record)]
            if ended or time.monotonic() > deadline:
                reason = f"ended by itself: {' '.join(ended)}" if ended else f"not ready in time: {part}"
                raise ClusterError(f"{reason}; logs are in {self.settings.logs}{self._last_words(ended)}")
            time.sleep(0.1)

    def _last_words(self, components: list[str]) -> str:
        tails = [(self.settings.logs / f"{name}.log").read_text(errors="replace")[-1000:] for name in components]
        return "".join(f"\n{tail}" for tail in tails)

    def _answers(self, *arguments: str) -> str:
        done = self.kubectl("--request-timeout=5s", *arguments, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _inside_answers(self, address: str) -> bool:
        return self.sandbox.enter([sys.executable, "-c", ASK, f"http://{address}"], check=False).returncode == 0


def up(settings: Settings) -> Cluster:
    """Brings the cluster up, or returns the one that is up and whole; the time is printed.

    Raises:
        ClusterError: a program is missing or a part did not start; what was started is ended again, its logs stay.
    """
    _demand_machine()
    programs = build.programs(settings.cache)
    begun = time.monotonic()
    with _locked(settings):
        running = attach(settings)
        if running is not None:
            running.wait_ready()
            print(f"e2e: cluster is up already: {settings.kubeconfig}", flush=True)
            return running
        _down(settings)
        try:
            cluster = _start(settings, programs)
        except BaseException:
            _down(settings)
            raise
    print(f"e2e: cluster up in {time.monotonic() - begun:.1f} s: {settings.kubeconfig}", flush=True)
    return cluster


def attach(settings: Settings) -> Cluster | None:
    """The cluster that is up with all of its components running, or None."""
    sandbox = load(settings)
    if sandbox is None:
        return None
    running = {record.name for record in processes.recorded(settings) if processes.alive(sandbox, record)}
    if not running.issuperset({*COMPONENTS, "containerd"}):
        return None
    return Cluster(settings, build.programs(settings.cache), sandbox)


def down(settings: Settings) -> None:
    """Ends the cluster and undoes all of it but the logs; harmless when there is none."""
    with _locked(settings):
        _down(settings)


def _start(settings: Settings, programs: Path) -> Cluster:
    shutil.rmtree(settings.logs, ignore_errors=True)
    settings.logs.mkdir(parents=True)
    sandbox = create(settings, programs / "pause")
    cluster = Cluster(settings, programs, sandbox)
    containerd.start(settings, sandbox)
    control_plane.write_files(settings)
    for name in ("etcd", "kube-apiserver"):
        processes.start(settings, sandbox, name, COMPONENTS[name](settings, programs))
    containerd.wait(settings, sandbox)
    containerd.load_image(sandbox, images.program(settings.cache, programs / "pause", ["/pause"]), PAUSE_IMAGE)
    cluster._wait_api_server(time.monotonic() + 60)
    for name, argv in COMPONENTS.items():
        processes.start(settings, sandbox, name, argv(settings, programs))
    cluster.wait_ready()
    return cluster


def _down(settings: Settings) -> None:
    destroy(settings)
    if not settings.work.is_dir():
        return
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(Path(place).is_relative_to(settings.work) for place in mounted):
        raise ClusterError(f"something is still mounted below the work folder, which is therefore not emptied: {settings.work}")
    for entry in settings.work.iterdir():
        if entry != settings.logs:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _demand_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterError("the e2e ring's own cluster needs root; any other cluster can be used with E2E_KUBECONFIG")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise ClusterError(f"missing programs, install them with tools/install-e2e-packages: {' '.join(missing)}")


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield
