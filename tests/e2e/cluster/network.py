"""The sandbox's network: a bridge for the pods, and one link pair that lets the host reach API server and pods.

There is no way out: a pod of the test cluster reaches the node and other pods, and nothing else.
"""

import subprocess

from .settings import BRIDGE, SERVICE_NETWORK, ClusterError, Settings


def inside(settings: Settings) -> str:
    """The shell commands that make the bridge, run inside the sandbox."""
    # A service's address needs some route before the firewall can replace it by a pod's.
    return f"""
ip link set lo up
ip link add {BRIDGE} type bridge
ip address add {settings.node_address}/24 dev {BRIDGE}
ip link set {BRIDGE} up
ip route add {SERVICE_NETWORK} dev {BRIDGE}
echo 1 >/proc/sys/net/ipv4/ip_forward
"""


def connect(settings: Settings, pid: int) -> None:
    """Makes the link pair between the host and the network namespace of process `pid`.

    Raises:
        ClusterError: the pod network is in use on this machine, or a command failed.
    """
    name, (here, there) = settings.name, settings.link_addresses
    taken = _ip("route", "show", settings.pod_network)
    if taken:
        raise ClusterError(f"the pod network has a route on this machine already, try another E2E_NUMBER: {taken}")
    _ip("link", "add", name, "type", "veth", "peer", "name", "host0", "netns", str(pid))
    _ip("address", "add", f"{here}/30", "dev", name)
    _ip("link", "set", name, "up")
    enter = ["nsenter", f"--target={pid}", "--net", "--"]
    _run([*enter, "ip", "address", "add", f"{there}/30", "dev", "host0"])
    _run([*enter, "ip", "link", "set", "host0", "up"])
    _ip("route", "add", settings.pod_network, "via", there)


def disconnect(settings: Settings) -> None:
    """Removes the host's end, and with it the other end and the route; harmless when it is not there."""
    subprocess.run(["ip", "link", "delete", settings.name], capture_output=True, check=False)


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
