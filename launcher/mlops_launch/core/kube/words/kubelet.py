"""The kubelet's words: why a container waits, why a pod was rejected or put out, and what its events say.

Kubernetes 1.36 (pkg/kubelet: images, container, lifecycle, eviction, nodeshutdown), containerd, runc, mount.nfs.
"""

from __future__ import annotations

from typing import Final

from mlops_launch.admission import Words

_IMAGE: Final = "the image cannot be pulled for pod {who}"
_IMAGE_HINT: Final = "correct REGISTRY and IMAGE_TAG, or give the namespace's service account an imagePullSecret"
_CONTAINER: Final = "the container of pod {who} cannot be started"
_VOLUME: Final = "a volume of pod {who} cannot be mounted"
_DESCRIBE: Final = "`kubectl describe pod {who}` says more"
_PATCH: Final = "in the overlay's patch file"
_REJECTED: Final = "the node has rejected pod {who}"
_RUN_AGAIN: Final = "run it again: another node, or a later moment, may do"

# What a message says, whatever its reason is. Looked at before the reasons.
CONTAINER_MESSAGES: Final = (
    Words(
        "executable file not found", "command", "the command of pod {who} is not in its image",
        f"correct command or args {_PATCH}, or IMAGE_TAG", final=True,
    ),
    Words(
        "exec format error", "architecture", "the image of pod {who} is for another kind of CPU than the node has",
        f"build the image for the node's architecture, or choose nodes by kubernetes.io/arch {_PATCH}", final=True,
    ),
    Words(
        "no such file or directory: unknown", "command", "the command of pod {who} is not in its image",
        f"correct command or args {_PATCH}, or IMAGE_TAG", final=True,
    ),
    Words(
        "permission denied: unknown", "command", "the command of pod {who} may not be executed",
        f"correct command {_PATCH}, or make the file executable in the image", final=True,
    ),
    Words(
        "oom-killed", "memory limit", "the memory limit of pod {who} is too small even to start its container",
        "raise it with `mlops-launch set --memory`", final=True,
    ),
    Words(
        "non-root policy", "root", "the container of pod {who} would run as root, which runAsNonRoot forbids",
        f"set runAsUser {_PATCH}, as the overlays do", final=True,
    ),
    Words(
        "image will run as root", "root", "the container of pod {who} would run as root, which runAsNonRoot forbids",
        f"set runAsUser {_PATCH}, as the overlays do", final=True,
    ),
    Words(
        "cannot verify user is non-root", "root", "the image of pod {who} names its user in letters, which runAsNonRoot cannot judge",
        f"set runAsUser to a number {_PATCH}", final=True,
    ),
    Words(
        "couldn't find key", "reference", "pod {who} asks for a key that its ConfigMap or Secret does not have",
        f"add the key, or correct its name {_PATCH}",
    ),
    Words(
        'secret "', "reference", "pod {who} asks for a Secret that does not exist", f"create it, or correct its name {_PATCH}",
    ),
    Words(
        'configmap "', "reference", "pod {who} asks for a ConfigMap that does not exist", f"create it, or correct its name {_PATCH}",
    ),
)  # fmt: skip

IMAGE_MESSAGES: Final = (
    Words(
        "no basic auth credentials", "image login", _IMAGE,
        "the registry wants a login: give the namespace's service account an imagePullSecret; also correct REGISTRY and IMAGE_TAG",
    ),
)  # fmt: skip

# Reasons of a waiting or terminated container.
REASONS: Final = (
    Words("InvalidImageName", "image", _IMAGE, _IMAGE_HINT, final=True),
    Words(
        "ErrImageNeverPull", "image", _IMAGE, f"correct REGISTRY and IMAGE_TAG, or take imagePullPolicy: Never out {_PATCH}", final=True,
    ),
    Words(
        "RegistryUnavailable", "registry", _IMAGE,
        "the node does not reach the registry: correct REGISTRY, or ask the cluster's administrator",
    ),
    Words(
        "SignatureValidationFailed", "signature", _IMAGE,
        "the node accepts signed images only: sign it, or ask the cluster's administrator which are accepted",
    ),
    Words("ImageVolumeMountFailed", "volume", "an image volume of pod {who} cannot be mounted", f"correct the volume's image {_PATCH}"),
    Words("ErrImagePull", "image", _IMAGE, _IMAGE_HINT),
    Words("ImagePullBackOff", "image", _IMAGE, _IMAGE_HINT),
    Words("ImageInspectError", "image", _IMAGE, "the node's own copy of the image is damaged, or its runtime is; ask its administrator"),
    Words("CreateContainerConfigError", "configuration", _CONTAINER, f"correct what it names {_PATCH}"),
    Words("CreateContainerError", "container", _CONTAINER, _DESCRIBE),
    Words("RunContainerError", "container", _CONTAINER, _DESCRIBE),
    Words("StartError", "command", _CONTAINER, f"correct command, args or workingDir {_PATCH}", final=True),
    Words("ContainerCannotRun", "command", _CONTAINER, f"correct command, args or workingDir {_PATCH}", final=True),
    Words("CrashLoopBackOff", "crash", "the container of pod {who} ends again and again",
          "`kubectl logs {who} -c {container} --previous` says why"),
    Words("PostStartHookError", "hook", "the postStart hook of pod {who} fails", f"correct lifecycle.postStart {_PATCH}"),
    Words("PreStartHookError", "hook", "a hook of pod {who} fails before its container starts", _DESCRIBE),
    Words("PreCreateHookError", "hook", "a hook of pod {who} fails before its container is created", _DESCRIBE),
    Words("RROUnsupported", "volume", "the node of pod {who} cannot mount volumes recursively read-only",
          f"take recursiveReadOnly out {_PATCH}"),
)  # fmt: skip

# A pod that was evicted for what it wrote itself: another try would write it again.
OWN_LIMITS: Final = (
    Words(
        "exceeded its local ephemeral storage limit", "own disk", "pod {who} was evicted: it wrote more than its own limit",
        f"raise ephemeral-storage {_PATCH}, or write to the claim", final=True,
    ),
    Words(
        "exceeds the limit", "own disk", "pod {who} was evicted: it wrote more than a volume's limit",
        f"raise the emptyDir's sizeLimit {_PATCH}, or write to the claim", final=True,
    ),
    Words(
        "exceeds the total limit of containers", "own disk", "pod {who} was evicted: it wrote more than its own limit",
        f"raise ephemeral-storage {_PATCH}, or write to the claim", final=True,
    ),
)  # fmt: skip

# status.reason and status.message of a pod that the kubelet has refused, or put out.
REJECTIONS: Final = (
    *OWN_LIMITS,
    Words(
        "Evicted", "evicted", "pod {who} was evicted: its node is short of something", _RUN_AGAIN, final=True, again=True,
    ),
    Words("Preempting", "preempted", "pod {who} had to leave for one of higher priority", _RUN_AGAIN, final=True, again=True),
    Words("NodeShutdown", "node shutdown", "the node of pod {who} is shutting down", _RUN_AGAIN, final=True, again=True),
    Words("shutdown", "node shutdown", "the node of pod {who} is shutting down", _RUN_AGAIN, final=True, again=True),
    Words("NodeLost", "node lost", "the node of pod {who} does not answer any more", _RUN_AGAIN, final=True, again=True),
    Words(
        "UnexpectedAdmissionError", "device", _REJECTED,
        "a device vanished after the pod was placed: look at the node's device plugin, and run it again", final=True, again=True,
    ),
    Words("OutOf", "room", _REJECTED, "others took the room first; run it again, or ask for less", final=True, again=True),
    Words(
        "TopologyAffinityError", "topology", _REJECTED,
        "its CPUs and devices do not fit one NUMA node: ask for less per worker, or for nodes with another topology policy", final=True,
    ),
    Words("SMTAlignmentError", "topology", _REJECTED, "ask for whole cores: an even number of CPUs", final=True),
    Words(
        "NodeAffinity", "selector", _REJECTED,
        f"the node's labels changed, or do not match: correct nodeSelector or affinity {_PATCH}, or run it again", final=True, again=True,
    ),
    Words("NodeName", "selector", _REJECTED, f"correct nodeName {_PATCH}", final=True),
    Words("NodePorts", "port", _REJECTED, f"take hostPort or hostNetwork out {_PATCH}", final=True),
    Words(
        "SysctlForbidden", "sysctl", _REJECTED,
        f"take the sysctl out of securityContext {_PATCH}, or have the node's administrator allow it", final=True,
    ),
    Words("PodOS", "os", _REJECTED, f"choose nodes by kubernetes.io/os {_PATCH}", final=True),
    Words("SupplementalGroupsPolicyNotSupported", "groups", _REJECTED, f"take supplementalGroupsPolicy out {_PATCH}", final=True),
    Words("VolumeAttachmentLimitExceeded", "volume count", _REJECTED, _RUN_AGAIN, final=True, again=True),
    Words("TaintToleration", "taint", _REJECTED, f"add a toleration {_PATCH}", final=True),
    Words("DeadlineExceeded", "deadline", "pod {who} has reached its activeDeadlineSeconds", f"raise it {_PATCH}", final=True),
)  # fmt: skip

# What a pod's events say, by message, then by reason.
EVENTS: Final = (
    Words('configmap "', "reference", "pod {who} asks for a ConfigMap that does not exist", f"create it, or correct its name {_PATCH}"),
    Words('secret "', "reference", "pod {who} asks for a Secret that does not exist", f"create it, or correct its name {_PATCH}"),
    Words(
        "access denied by server", "nfs access", "the NFS server refuses pod {who}",
        f"have the server export the folder to the nodes, or correct server and path {_PATCH}",
    ),
    Words(
        "mount.<type> helper", "nfs client", "the node of pod {who} cannot mount this kind of volume",
        "install the file system's client there (for NFS: nfs-common or nfs-utils), or choose other nodes",
    ),
    Words(
        "mount.nfs", "nfs access", "the NFS server does not serve pod {who}",
        f"is the server up, and does it export this folder? Else correct server and path {_PATCH}",
    ),
    Words(
        "hostPath type check failed", "host path", "a folder of the node that pod {who} mounts is not what it should be",
        f"create it on every node, or correct hostPath {_PATCH}",
    ),
    Words(
        "Multi-Attach", "claim in use", "the volume of pod {who} is attached to another node",
        "use a claim of mode ReadWriteMany for pods on several nodes, or wait until the other pod has ended",
    ),
    Words(
        "registered CSI drivers", "csi driver", "the node of pod {who} has no driver for its volume",
        "is the driver's DaemonSet running on that node? `kubectl get csinodes` shows the drivers of each node",
    ),
    Words(
        "no runtime for", "runtime class", "the node of pod {who} does not have its runtime class",
        f"correct runtimeClassName {_PATCH}, or choose nodes that have the runtime",
    ),
    Words(
        "IP addresses available", "network", "the node of pod {who} has no network address left",
        "wait until pods end there, or ask the cluster's administrator for more addresses",
    ),
    Words(
        "FailedCreatePodSandBox", "network", "the node of pod {who} cannot prepare it",
        "nothing in the overlay is wrong as a rule; ask the cluster's administrator to look at the node",
    ),
    Words(
        "NetworkNotReady", "network", "the network of the node of pod {who} is not ready",
        "is the cluster's network plugin running there? `kubectl -n kube-system get pods -o wide`",
    ),
    Words(
        "VolumePermissionChangeInProgress", "ownership", "the files on a volume of pod {who} are being given to its group",
        f"wait; fsGroupChangePolicy: OnRootMismatch {_PATCH} does it once only",
    ),
    Words("FailedAttachVolume", "volume", "a volume of pod {who} cannot be attached", _DESCRIBE),
    Words("FailedMapVolume", "volume", _VOLUME, _DESCRIBE),
    Words("FailedMount", "volume", _VOLUME, _DESCRIBE),
    Words("Pulling", "pulling", "the image of pod {who} is being pulled", "wait: a large image takes minutes on a node's first time"),
)  # fmt: skip
