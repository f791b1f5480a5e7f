"""The words with which each component of Kubernetes is started, and the files they read."""

import json
import secrets
import subprocess
from pathlib import Path

from .settings import API_SERVICE_ADDRESS, NODE, SERVICE_NETWORK, ClusterError, Settings

COREFILE = """\
.:53 {
    bind ADDRESS
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {
        kubeconfig KUBECONFIG
        ttl 1
    }
}
"""


def write_files(settings: Settings) -> None:
    """Certificate, service account key, token, kubeconfig and component configurations, all in the work folder."""
    work = settings.work
    names = ",".join(
        ["DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost"]
        + [f"IP:{address}" for address in (settings.node_address, API_SERVICE_ADDRESS, "127.0.0.1")]
    )
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365"]
    subject = ["-subj", "/CN=mlops-e2e", "-addext", f"subjectAltName={names}", "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    _run([*request, *subject, "-keyout", str(work / "api.key"), "-out", str(work / "api.crt")])
    _run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(work / "accounts.key")])
    token = secrets.token_hex(16)
    _private(work / "tokens.csv", f'{token},admin,admin,"system:masters"\n')
    cluster = {"server": f"https://{settings.node_address}:6443", "certificate-authority": str(work / "api.crt")}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "mlops-e2e", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "mlops-e2e", "context": {"cluster": "mlops-e2e", "user": "admin"}}],
        "current-context": "mlops-e2e",
    }
    _private(settings.kubeconfig, json.dumps(kubeconfig))
    (work / "Corefile").write_text(COREFILE.replace("ADDRESS", settings.node_address).replace("KUBECONFIG", str(settings.kubeconfig)))
    (work / "resolv.conf").write_text("")
    (work / "kubelet.json").write_text(json.dumps(_kubelet(settings)))


def etcd(settings: Settings, programs: Path) -> list[str | Path]:
    """The store; it does not wait for the disk, since nobody needs it after a power cut."""
    url = "http://127.0.0.1:2379"
    return [
        programs / "etcd",
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(settings: Settings, programs: Path) -> list[str | Path]:
    """Listens on the bridge's address, which host and pods both reach."""
    work = settings.work
    return [
        programs / "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={settings.node_address}",
        f"--advertise-address={settings.node_address}",
        f"--tls-cert-file={work}/api.crt",
        f"--tls-private-key-file={work}/api.key",
        f"--token-auth-file={work}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={work}/accounts.key",
        f"--service-account-signing-key-file={work}/accounts.key",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def controller_manager(settings: Settings, programs: Path) -> list[str | Path]:
    """Makes service accounts, Jobs' pods, endpoints and the like."""
    return [
        programs / "kube-controller-manager",
        f"--kubeconfig={settings.kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        f"--root-ca-file={settings.work}/api.crt",
        f"--service-account-private-key-file={settings.work}/accounts.key",
    ]


def scheduler(settings: Settings, programs: Path) -> list[str | Path]:
    """Places pods."""
    return [programs / "kube-scheduler", f"--kubeconfig={settings.kubeconfig}", "--bind-address=127.0.0.1", "--leader-elect=false"]


def kubelet(settings: Settings, programs: Path) -> list[str | Path]:
    """The node."""
    return [
        programs / "kubelet",
        f"--kubeconfig={settings.kubeconfig}",
        f"--config={settings.work}/kubelet.json",
        f"--hostname-override={NODE}",
        f"--node-ip={settings.node_address}",
    ]


def proxy(settings: Settings, programs: Path) -> list[str | Path]:
    """Makes ClusterIPs work; connection tracking limits belong to the whole machine and are left alone."""
    return [
        programs / "kube-proxy",
        f"--kubeconfig={settings.kubeconfig}",
        f"--hostname-override={NODE}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={settings.pod_network}",
        # Answers of a pod on the same bridge come back through the node also where the kernel filters no bridges.
        "--masquerade-all",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
    ]


def dns(settings: Settings, programs: Path) -> list[str | Path]:
    """Names of services and pods."""
    return [programs / "coredns", "-conf", settings.work / "Corefile"]


def _kubelet(settings: Settings) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": settings.node_address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{settings.name}",
        "clusterDNS": [settings.node_address],
        "clusterDomain": "cluster.local",
        "containerLogMaxSize": "1Mi",
        "containerLogMaxFiles": 3,
        "containerLogMonitorInterval": "3s",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # The machine's disk belongs to others too: its filling up is no reason to evict a test's pods.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzBindAddress": "127.0.0.1",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "registryPullQPS": 0,
        "resolvConf": f"{settings.work}/resolv.conf",
        # How late a mounted Secret may change: JobSet waits for its certificate this way.
        "syncFrequency": "5s",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # How late a pod is evicted for what it has written to a volume.
        "volumeStatsAggPeriod": "5s",
    }


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {done.stderr.strip()}")
