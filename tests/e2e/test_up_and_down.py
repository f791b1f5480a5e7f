"""A cluster of the ring comes up fast, and goes without a trace."""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

from tests.e2e.cluster import cluster as clusters
from tests.e2e.cluster import images
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.sandbox import cgroup_folders
from tests.e2e.cluster.settings import Settings
from tests.e2e.test_cluster import pod, wait_for


def test_up_is_fast_and_repeatable_and_down_leaves_nothing(cluster: Cluster, small_image: str, tmp_path: Path) -> None:
    # A second cluster beside the session's, which therefore is not touched.
    mine = Settings(cluster.settings.cache, tmp_path / "cluster", number=9)
    before = machine(mine)
    begun = time.monotonic()
    try:
        first = clusters.up(mine)
        took = time.monotonic() - begun
        print(f"up: {took:.1f} s")
        first.load_image(images.small(mine.cache))
        first.kubectl.apply(pod("default", "sleeper", small_image, "sleep", "600"))
        wait_for(first.kubectl, "default", "pod/sleeper", "condition=Ready")
        assert clusters.up(mine) == first
        during, inside = machine(mine), namespaces(family(first.sandbox.pid)) - namespaces([os.getpid()])
    finally:
        begun = time.monotonic()
        clusters.down(mine)
        print(f"down: {time.monotonic() - begun:.1f} s")
    assert took < 30
    # What is compared does show a cluster; its firewall rules and mounts are never the machine's.
    assert [name for name in before if during[name] != before[name]] == ["links", "routes", "cgroups"]
    assert inside
    assert machine(mine) == before
    assert namespaces(processes()) & inside == set()
    assert [path.name for path in mine.work.iterdir()] == ["logs"]
    clusters.down(mine)


def machine(settings: Settings) -> dict[str, object]:
    """What a cluster could leave on the machine, by kind; what belongs to a cluster with another number is left out."""
    others = re.compile(rf"\bmlops-e2e-[^{settings.number}]\b")

    def output(*argv: str) -> list[str]:
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        return sorted(line for line in lines if line[:1] not in "#:" and not others.search(line))

    kernel = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"]
    # Of the system's folders only those that a cluster could use: other programs may mount and write meanwhile.
    names = "/run/containerd /run/netns /var/lib/kubelet /var/lib/containerd /var/lib/etcd /var/lib/cni /var/log/pods /var/log/containers"
    places = [Path(name) for name in (*names.split(), "/opt/containerd", "/etc/cni", "/usr/libexec/kubernetes", "/srv", "/proc", "/sys")]
    mounts = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "mounts": sorted(mount for mount in mounts if any(mount.is_relative_to(place) for place in (settings.work, *places))),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir() if not others.search(path.name)),
        "routes": output("ip", "route", "show", "table", "all"),
        "firewall": [line.split(" [")[0] for line in output("iptables-save")],
        "cgroups": [folder for folder in cgroup_folders(settings) if folder.exists()],
        "kernel settings": [Path("/proc/sys", name).read_text() for name in kernel],
        "folders": [(place, sorted(os.listdir(place))) for place in places[:-2] if place.is_dir()],
    }


def processes() -> list[int]:
    """Every process of the machine."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def family(pid: int) -> list[int]:
    """A process and all that descend from it: a process namespace's first process and everything in it."""
    parents = {}
    for process in processes():
        with contextlib.suppress(OSError):
            parents[process] = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def namespaces(pids: list[int]) -> set[str]:
    """Network, mount and process namespaces that any of these processes is in; each process of a cluster is in three."""
    found = set()
    for pid in pids:
        for kind in ("net", "mnt", "pid"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found
