"""The controllers' words: of what creates the pods, and of what provides for their claims.

Kubernetes 1.36 (pkg/controller/volume/persistentvolume, job), mpi-operator 0.8.2, Kueue.
"""

from __future__ import annotations

from typing import Final

from mlops_launch.admission import Words

# Of events about a workload or its Job.
WORKLOADS: Final = (
    Words(
        "already exists and is not managed by", "left-over", "an object of that name is already there, and it is not this job's",
        "delete it, or choose another name with namePrefix or nameSuffix", final=True,
    ),
)  # fmt: skip

# Of events about a claim; a waiting claim is no Warning for some of them.
CLAIMS: Final = (
    Words(
        "no storage class is set", "no class", "the claim of pod {who} names no storage class, and none is the cluster's default",
        "set storageClassName in the claim (k8s/storage); `kubectl get storageclasses` lists them",
    ),
    Words(
        "storageclass.storage.k8s.io", "no class", "the claim of pod {who} names a storage class that does not exist",
        "correct storageClassName in the claim (k8s/storage); `kubectl get storageclasses` lists them",
    ),
    Words(
        "ExternalProvisioning", "provisioner", "the provisioner has not made the volume of pod {who} yet",
        "is it running? The storage class names it: `kubectl get storageclasses`",
    ),
    Words(
        "ProvisioningFailed", "provisioner", "the volume of pod {who} cannot be made", "`kubectl describe pvc` says more",
    ),
    Words(
        "VolumeMismatch", "volume fit", "the claim of pod {who} does not fit the volume that it names", "correct volumeName, size or modes",
    ),
    Words("ClaimLost", "claim lost", "pod {who} needs a claim whose volume is gone", "delete the claim and create it again (k8s/storage)"),
    Words("ClaimMisbound", "claim lost", "another claim has the volume of pod {who}", "delete the claim and create it again (k8s/storage)"),
    Words("FailedBinding", "claim", "pod {who} waits for its claim", "`kubectl describe pvc` says why"),
)  # fmt: skip
