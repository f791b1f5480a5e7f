"""Waits as the cluster shows them, with its exact words (Kubernetes 1.36, mpi-operator 0.8.2), and what each of them means.

Each row: its number, what the cluster shows, the kind of the cause, a part of the advice, and whether waiting is in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.objects import RUNNING, ended, event, job, pod

Json = dict[str, Any]
WHO = "demo-worker-0"


@dataclass(frozen=True)
class Shown:
    """What the cluster shows, and the words in it."""

    pods: list[Json]
    events: list[Json]
    words: str


@dataclass(frozen=True)
class Wait:
    """A row of the matrix."""

    number: str
    shown: Shown
    kind: str
    advice: str
    final: bool = False


def scheduler(words: str, count: str = "0/3 nodes are available: ") -> Shown:
    tail = " preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling." if count else ""
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": f"{count}{words}{tail}"}
    claimed = worker(conditions=[said])
    claimed["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "datasets"}}]
    return Shown([claimed], [], words)


def alone(words: str) -> Shown:
    return scheduler(words, "")


def claim(reason: str, words: str, kind: str = "Normal") -> Shown:
    about = {"kind": "PersistentVolumeClaim", "metadata": {"name": "datasets", "uid": "uid-datasets"}}
    shown = scheduler("pod has unbound immediate PersistentVolumeClaims.")
    return Shown(shown.pods, [{**event(about, reason, words), "type": kind}], words)


def created(words: str, reason: str = "FailedCreate") -> Shown:
    about = {"kind": "Job", "metadata": {"name": "demo-launcher", "uid": "uid-demo-launcher"}} if reason == "FailedCreate" else job()
    return Shown([], [event(about, reason, words)], words)


def waiting(reason: str, words: str = "") -> Shown:
    return Shown([worker({"waiting": {"reason": reason, "message": words}})], [], words or reason)


def warned(reason: str, words: str, kind: str = "Warning") -> Shown:
    one = worker({"waiting": {"reason": "ContainerCreating"}})
    return Shown([one], [{**event(one, reason, words), "type": kind}], words)


def rejected(reason: str, words: str) -> Shown:
    return Shown([worker(phase="Failed", reason=reason, message=words)], [], words)


def init(state: Json, words: str) -> Shown:
    one = worker({"waiting": {"reason": "PodInitializing"}}, initContainerStatuses=[{"name": "setup", "state": state}])
    one["spec"] |= {"restartPolicy": "Never", "initContainers": [{"name": "setup", "image": "registry.example.com/setup:1"}]}
    return Shown([one], [], words)


def worker(state: Json | None = None, **status: Any) -> Json:
    return pod(WHO, "worker", state, **status)


def start_error(words: str) -> Shown:
    state = {"terminated": {**ended(128, "StartError")["terminated"], "startedAt": "1970-01-01T00:00:00Z", "message": words}}
    return Shown([worker(state)], [], words)


def at(number: str, make: Callable[..., Shown], *words: str, kind: str, advice: str, final: bool = False) -> Wait:
    return Wait(number, make(*words), kind, advice, final)


ROOM, SPEC = "ask for less", "in the overlay's patch file"
_TAINT = "node-role.kubernetes.io/control-plane: "
_GATES = "Scheduling is blocked due to non-empty scheduling gates"
_ROP = "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod."
_LOGIN = 'Back-off pulling image "r/i:1": ErrImagePull: pull access denied, repository does not exist or may require authorization: '
_HOOK = 'Internal error occurred: failed calling webhook "m.x.io": failed to call webhook: Post "https://x.ns.svc:443/mutate": '
_MOUNT = 'MountVolume.SetUp failed for volume "d" : '
_NFS = _MOUNT + "mount failed: exit status 32 Output: "
_SANDBOX = "Failed to create pod sandbox: rpc error: code = Unknown desc = "
_EXEC = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start"
_QUOTA = "exceeded quota: q, requested: limits.memory=8Gi, used: limits.memory=60Gi, limited: limits.memory=64Gi"
_POD_QUOTA = (
    'worker pod created failed: pods "j-worker-0" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4'
)
_PSA = 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "launcher" must set runAsNonRoot=true)'
_MULTI = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node and can\'t be attached to another'
_CSI = 'MountVolume.MountDevice failed for volume "d" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: '
_CHOWN = "Setting volume ownership for pod/volumes/d is taking longer than expected, consider using OnRootMismatch - 1000 files"
_SILENT = "Waiting for a volume to be created either by the external provisioner 'x' or manually by the system administrator."
_DEVICE = "Pod was rejected: Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 1"
_CPU = "Pod was rejected: Node didn't have enough resource: cpu, requested: 8000, used: 5000, capacity: 8000"
_DISK = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. "
_NUMA = "Pod was rejected: Resources cannot be allocated with Topology locality"
_LABELS = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
_SYSCTL = 'Pod was rejected: forbidden sysctl: "kernel.shm_rmid_forced" not allowlisted'
_ROOT = 'container has runAsNonRoot and image will run as root (pod: "j", container: worker)'
_NOT_FOUND = 'failed to pull and unpack image "r/i:1": failed to resolve reference "r/i:1": r/i:1: not found'
_CNI = _SANDBOX + 'failed to setup network: plugin type="calico" failed (add): no IP addresses available in range set'
_GANG = "1/1 tasks in gang unschedulable: pod group is not ready, 1 Pending, 1 minAvailable."
_GANG_136 = "waiting for minCount pods from a gang to appear in scheduling queue"
_NETWORK = "network is not ready: container runtime network not ready: cni plugin not initialized"
_NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_DENIED = 'admission webhook "validate.kyverno.svc-fail" denied the request: require-labels: label owner is required'
_ENDING = "unable to create new content in namespace ns because it is being terminated"
_MANAGED = 'Resource "j-worker-0" of Kind "Pod" already exists and is not managed by MPIJob'
_SPREAD = "3 node(s) didn't match pod topology spread constraints (missing required label)."

# A01–A26 the scheduler, B01–B14 admission and controllers, C01–C09 images, D01–D16 volumes and network, E01–E15 containers.
MATRIX = [
    at("A01", scheduler, "3 Insufficient cpu.", kind="room", advice=ROOM),
    at("A02", scheduler, "3 Insufficient memory.", kind="room", advice=ROOM),
    at("A03", scheduler, "3 Insufficient ephemeral-storage.", kind="room", advice=ROOM),
    at("A04", scheduler, "3 Insufficient nvidia.com/gpu.", kind="device", advice="device plugin"),
    at("A05", scheduler, "3 Too many pods.", kind="room", advice="wait for a node"),
    at("A06", scheduler, "3 node(s) had untolerated taint(s).", kind="taint", advice="toleration"),
    at("A07", scheduler, f"3 node(s) had untolerated taint {{{_TAINT}}}.", kind="taint", advice="toleration"),
    at("A08", scheduler, "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.", kind="not ready", advice="describe nodes"),
    at("A09", scheduler, "3 node(s) were unschedulable.", kind="cordon", advice="uncordon"),
    at("A10", scheduler, "3 node(s) didn't match Pod's node affinity/selector.", kind="selector", advice="nodeSelector"),
    at("A11", scheduler, "3 node(s) didn't match pod anti-affinity rules.", kind="anti-affinity", advice="podAntiAffinity"),
    at("A12", scheduler, _SPREAD, kind="spread", advice="--show-labels"),
    at("A13", scheduler, "3 node(s) didn't have free ports for the requested pod ports.", kind="port", advice="hostPort"),
    at("A14", alone, 'persistentvolumeclaim "datasets" not found.', kind="claim", advice="create the claim"),
    at("A15", scheduler, "pod has unbound immediate PersistentVolumeClaims.", kind="claim", advice="describe pvc"),
    at("A16", alone, 'persistentvolumeclaim "datasets" is being deleted.', kind="claim deleted", advice="wait until it is gone"),
    at("A17", alone, 'persistentvolumeclaim "d" bound to non-existent persistentvolume "p".', kind="claim lost", advice="delete the claim"),
    at("A18", scheduler, "3 node(s) didn't match PersistentVolume's node affinity.", kind="volume place", advice="names its nodes"),
    at("A19", scheduler, "3 node(s) didn't find available persistent volumes to bind.", kind="claim", advice="storage class"),
    at("A20", scheduler, _ROP, kind="claim in use", advice="ReadWriteMany"),
    at("A21", scheduler, "3 node(s) exceed max volume count.", kind="volume count", advice="fewer claims"),
    at("A22", alone, _GATES, kind="gate", advice="Kueue"),
    at("A23", alone, _GANG_136, kind="gang", advice="together"),
    at("A24", alone, _GANG, kind="gang", advice="together"),
    at("A25", alone, "waiting for the preemption for this pod to be finished", kind="preemption", advice="nothing is wrong"),
    Wait("A26", Shown([worker()], [], "default-scheduler"), "scheduler name", "is there a scheduler"),
    at("B01", created, _QUOTA, kind="quota", advice=ROOM),
    at("B02", created, "failed quota: q: must specify limits.cpu for: launcher", kind="quota demands", advice=SPEC, final=True),
    at("B03", created, "status unknown for quota: q, resources: pods", kind="quota unknown", advice="wait a moment"),
    at("B04", created, "maximum memory usage per Container is 4Gi, but limit is 8Gi", kind="limit range", advice=SPEC, final=True),
    at("B05", created, "minimum cpu usage per Container is 1, but request is 500m", kind="limit range", advice=SPEC, final=True),
    at("B06", created, _PSA, kind="security", advice="securityContext", final=True),
    at("B07", created, 'error looking up service account ns/mlops: serviceaccount "mlops" not found', kind="service account",
       advice="create it"),
    at("B08", created, "no PriorityClass with name high was found", kind="priority class", advice="priorityClassName", final=True),
    at("B09", created, _HOOK + 'no endpoints available for service "x"', kind="webhook down", advice="administrator"),
    at("B10", created, _DENIED, kind="policy", advice="what the policy asks for", final=True),
    at("B11", created, _ENDING, kind="namespace", advice="--namespace", final=True),
    at("B12", created, "Found validation errors: spec.mpiReplicaSpecs: Required value", "ValidationError", kind="invalid",
       advice="correct the field", final=True),
    at("B13", created, _MANAGED, "ErrResourceExists", kind="left-over", advice="delete it", final=True),
    at("B14", created, _POD_QUOTA, "MPIJobFailed", kind="quota", advice=ROOM),
    at("C01", waiting, "ErrImagePull", _NOT_FOUND, kind="image", advice="IMAGE_TAG"),
    at("C02", waiting, "ImagePullBackOff", _LOGIN + "authorization failed: no basic auth credentials", kind="image login",
       advice="imagePullSecret"),
    at("C03", waiting, "InvalidImageName", 'Failed to apply default image tag "r/I:1": couldn\'t parse image name', kind="image",
       advice="IMAGE_TAG", final=True),
    at("C04", waiting, "ErrImageNeverPull", 'Container image "r/i:1" is not present with pull policy of Never', kind="image",
       advice="imagePullPolicy", final=True),
    at("C05", waiting, "RegistryUnavailable", "image pull failed for r/i:1 because the registry is unavailable", kind="registry",
       advice="reach the registry"),
    at("C06", waiting, "SignatureValidationFailed", "image pull failed for r/i:1 because the signature validation failed",
       kind="signature", advice="sign"),
    Wait("C07", Shown([worker(ended(255))], [], "255"), "worker ended", "exec format error", final=True),
    at("C08", waiting, "ImageVolumeMountFailed", "failed to mount image volume", kind="volume", advice="volume's image"),
    at("C09", warned, "Pulling", 'Pulling image "r/i:1"', "Normal", kind="pulling", advice="wait"),
    at("D01", warned, "FailedMount", 'MountVolume.SetUp failed for volume "cfg" : configmap "settings" not found', kind="reference",
       advice="create it"),
    at("D02", waiting, "CreateContainerConfigError", 'secret "tok" not found', kind="reference", advice="create it"),
    at("D03", waiting, "CreateContainerConfigError", "couldn't find key LR in ConfigMap ns/settings", kind="reference",
       advice="add the key"),
    at("D04", waiting, "CreateContainerConfigError", _ROOT, kind="root", advice="runAsUser", final=True),
    at("D05", warned, "FailedMount", _NFS + "mount.nfs: access denied by server while mounting 10.0.0.1:/x", kind="nfs access",
       advice="export"),
    at("D06", warned, "FailedMount", _NFS + "mount: bad option; for several filesystems (e.g. nfs, cifs) you might need a "
       "/sbin/mount.<type> helper program.", kind="nfs client", advice="nfs-common"),
    at("D07", warned, "FailedMount", _MOUNT + "hostPath type check failed: /data is not a directory", kind="host path",
       advice="create it on every node"),
    at("D08", warned, "FailedAttachVolume", _MULTI, kind="claim in use", advice="ReadWriteMany"),
    at("D09", warned, "FailedMount", _CSI + "driver name nfs.csi.k8s.io not found in the list of registered CSI drivers",
       kind="csi driver", advice="DaemonSet"),
    at("D10", warned, "VolumePermissionChangeInProgress", _CHOWN, kind="ownership", advice="OnRootMismatch"),
    at("D11", warned, "FailedCreatePodSandBox", _CNI, kind="network", advice="administrator"),
    at("D12", warned, "NetworkNotReady", _NETWORK, kind="network", advice="network plugin"),
    at("D13", warned, "FailedCreatePodSandBox", _SANDBOX + 'unable to get OCI runtime: no runtime for "nvidia" is configured',
       kind="runtime class", advice="runtimeClassName"),
    at("D14", claim, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found', "Warning", kind="no class",
       advice="storageClassName"),
    at("D15", claim, "FailedBinding", _NO_CLASS, kind="no class", advice="storageClassName"),
    at("D16", claim, "ExternalProvisioning", _SILENT, kind="provisioner", advice="is it running?"),
    at("E01", start_error, _EXEC + ' container process: exec: "python33": executable file not found in $PATH', kind="command",
       advice="correct command", final=True),
    at("E02", waiting, "CrashLoopBackOff", "back-off 10s restarting failed container=worker pod=j-worker-0", kind="crash",
       advice="--previous"),
    at("E03", waiting, "PostStartHookError", "Exec lifecycle hook failed", kind="hook", advice="postStart"),
    at("E04", lambda: init(ended(1), "init container setup of pod demo-worker-0 ended with exit code 1"), kind="init",
       advice="-c setup", final=True),
    at("E05", lambda: init({"waiting": {"reason": "ErrImagePull", "message": "no such tag"}}, "no such tag"), kind="image",
       advice="IMAGE_TAG"),
    at("E06", waiting, "RunContainerError", "container init was OOM-killed (memory limit too low?)", kind="memory limit",
       advice="--memory", final=True),
    Wait("E07", Shown([worker(RUNNING)], [], "port 2222"), "sshd", "kubectl logs"),
    Wait("E08", Shown([worker(ended(1))], [], "exit code 1: Error"), "worker ended", "kubectl logs", final=True),
    at("E09", rejected, "UnexpectedAdmissionError", _DEVICE, kind="device", advice="device plugin", final=True),
    at("E10", rejected, "OutOfcpu", _CPU, kind="room", advice="run it again", final=True),
    at("E11", rejected, "TopologyAffinityError", _NUMA, kind="topology", advice="NUMA", final=True),
    at("E12", rejected, "NodeShutdown", "Pod was rejected as the node is shutting down.", kind="node shutdown", advice="run it again",
       final=True),
    at("E13", rejected, "NodeAffinity", _LABELS, kind="selector", advice="nodeSelector", final=True),
    at("E14", rejected, "SysctlForbidden", _SYSCTL, kind="sysctl", advice="sysctl", final=True),
    at("E15", rejected, "Evicted", _DISK, kind="evicted", advice="run it again", final=True),
]  # fmt: skip
