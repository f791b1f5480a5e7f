"""A rendered workload becomes a command of this machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_launch.core.workload.kinds import find_workload
from mlops_launch.core.workload.local_mounts import LocalMount, rewrite, volume_names
from mlops_launch.core.workload.local_plan import Machine, localize
from mlops_launch.errors import LauncherError, UsageError

MACHINE = Machine(
    environment={"PATH": "/usr/bin:/venv/bin", "LANG": "C.UTF-8"},
    programs=Path("/venv/bin"),
    checkout=Path("/home/me/checkout"),
    volumes={"data": Path("/mnt/data"), "out": Path("/mnt/out")},
    scratch=Path("/scratch"),
    shared_memory=Path("/dev/shm/run"),
    is_root=False,
    free_port=iter(range(40000, 41000)).__next__,
)
VOLUMES = [
    {"name": "d", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
    {"name": "o", "persistentVolumeClaim": {"claimName": "out"}},
    {"name": "tmp", "emptyDir": {}},
    {"name": "settings", "configMap": {"name": "settings"}},
]
MOUNTS = [
    {"name": "d", "mountPath": "/data", "readOnly": True},
    {"name": "o", "mountPath": "/data/out/"},
    {"name": "o", "mountPath": "/logs", "subPath": "logs"},
    {"name": "tmp", "mountPath": "/tmp"},
    {"name": "settings", "mountPath": "/etc/settings"},
]
SETTINGS = {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a.txt": "A", "b.txt": "B"}}


def pod(env=(), command=("run", "$(DATA)"), volumes=VOLUMES, mounts=MOUNTS, **container):
    containers = [{"name": "training", "command": list(command), "env": list(env), "volumeMounts": mounts, **container}]
    manifest = {"kind": "Pod", "metadata": {"name": "p", "namespace": "team"}, "spec": {"containers": containers, "volumes": volumes}}
    return find_workload([SETTINGS, manifest])


def mpi_job(workers=2, slots=3):
    def replica(count, **pod):
        return {"replicas": count, "template": {"spec": {"containers": [{"name": "c", "command": ["mpirun", "x"]}], **pod}}}

    replicas = {"Launcher": replica(1), "Worker": replica(workers)}
    spec = {"slotsPerWorker": slots, "mpiReplicaSpecs": replicas}
    return find_workload([{"kind": "MPIJob", "metadata": {"name": "j"}, "spec": spec}])


def variables(plan):
    """Return what the container's own variables became."""
    return {name: value for name, value in plan.main.environment.items() if name not in ("PATH", "LANG", "TMPDIR")}


def test_a_pod_becomes_its_command():
    env = [{"name": "DATA", "value": "/data/x"}, {"name": "OUTPUT_DIR", "value": "/data/out/run"}, {"name": "N", "value": "$(DATA)$$(N)"}]
    plan = localize(pod(env, ["run", "$(DATA)", "/data2", "/workspace/a", "--x=/data"]), MACHINE, {"OWN": "/logs/own"})
    assert plan.main.argv == ("run", "/mnt/data/x", "/data2", "/home/me/checkout/a", "--x=/data")
    assert variables(plan) == {
        "DATA": "/mnt/data/x", "OUTPUT_DIR": "/mnt/out/run", "N": "/mnt/data/x$(N)", "OWN": "/mnt/out/logs/own",
    }  # fmt: skip
    assert plan.output == Path("/mnt/out/run")
    assert plan.main.environment["PATH"] == "/venv/bin:/usr/bin"
    assert plan.main.environment["TMPDIR"] == "/scratch/volumes/tmp"
    assert plan.main.folder == Path("/home/me/checkout")
    assert plan.files == {Path("/scratch/volumes/settings/a.txt"): "A", Path("/scratch/volumes/settings/b.txt"): "B"}
    assert plan.folders == tuple(
        map(Path, ["/mnt/data", "/mnt/out", "/scratch/volumes/tmp", "/scratch/volumes/settings", "/scratch", "/dev/shm/run"])
    )
    assert plan.world_size == 1


def test_an_mpi_job_becomes_one_host_with_all_slots():
    plan = localize(mpi_job(2, 3), MACHINE, {})
    assert plan.world_size == 6
    assert plan.files == {Path("/scratch/hostfile"): "localhost slots=6\n"}
    assert variables(plan) == {
        "MLOPS_WORKERS": "1", "MLOPS_SLOTS_PER_WORKER": "6", "PRTE_MCA_prte_default_hostfile": "/scratch/hostfile",
        "OMPI_MCA_btl_sm_backing_directory": "/dev/shm/run",
    }  # fmt: skip


def jobset(**spec):
    def role(name, replicas, env, **job):
        container = {"name": name, "command": ["run", "$(POD)", "--peer=j-ps-1-0.j:80"], "env": env}
        return {"name": name, "replicas": replicas, "template": {"spec": {**job, "template": {"spec": {"containers": [container]}}}}}

    def field(name, path):
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    known = [field("POD", "metadata.name"), field("NUMBER", "metadata.labels['jobset.sigs.k8s.io/job-global-index']")]
    known.append(field("FIRST", "metadata.annotations['jobset.sigs.k8s.io/coordinator']"))
    roles = [role("ps", 2, known), role("worker", 1, [*known, {"name": "RANK", "value": ""}], parallelism=2)]
    manifest = {"kind": "JobSet", "metadata": {"name": "j"}, "spec": {"replicatedJobs": roles, **spec}}
    return find_workload([manifest])


def test_a_jobset_becomes_a_process_per_pod_the_coordinator_first():
    coordinator = {"replicatedJob": "worker", "jobIndex": 0, "podIndex": 1}
    plan = localize(jobset(coordinator=coordinator, successPolicy={"operator": "Any", "targetReplicatedJobs": ["worker"]}), MACHINE, {})
    told = {process.name: process for process in plan.processes}
    assert (plan.world_size, plan.any_success) == (4, True)
    assert [(process.name, process.counts) for process in plan.processes] == [
        ("j-worker-0-1", True), ("j-ps-0-0", False), ("j-ps-1-0", False), ("j-worker-0-0", True),
    ]  # fmt: skip
    assert {process.argv for process in plan.processes} == {("run", name, "--peer=127.0.0.1:80") for name in told}
    numbers = {name: process.environment["NUMBER"] for name, process in told.items()}  # one for each Job, as the controller counts
    assert numbers == {"j-ps-0-0": "0", "j-ps-1-0": "1", "j-worker-0-0": "2", "j-worker-0-1": "2"}
    assert {process.environment["FIRST"] for process in plan.processes} == {"127.0.0.1"}
    assert [told[f"j-worker-0-{index}"].environment["RANK"] for index in range(2)] == ["2", "3"]
    assert "RANK" not in told["j-ps-0-0"].environment


def test_a_variable_of_the_user_goes_over_what_a_contract_gives():
    plan = localize(jobset(coordinator={"replicatedJob": "ps"}), MACHINE, {"WORLD_SIZE": "9"})
    assert [process.environment["WORLD_SIZE"] for process in plan.processes] == ["9"] * 4


@pytest.mark.parametrize(("workers", "slots", "named"), [(0, 1, "Worker.replicas is 0"), (1, "2", "slotsPerWorker is '2'")])
def test_numbers_that_start_no_rank(workers, slots, named):
    with pytest.raises(UsageError, match=f"not a number of 1 or more: {named}"):
        localize(mpi_job(workers, slots), MACHINE, {})


def test_a_value_of_the_cluster_must_be_given():
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    with pytest.raises(LauncherError) as raised:
        localize(pod(env), MACHINE, {})
    assert str(raised.value) == "a variable's value comes from the cluster: KEY\n\nhint: give one for the local run: `--env KEY=VALUE`"
    assert variables(localize(pod(env), MACHINE, {"KEY": "k"})) == {"NAME": "p", "KEY": "k"}


@pytest.mark.parametrize(
    ("model_dir", "found"),
    [("/workspace", "/home/me/checkout"), ("/opt/model", "/home/me/checkout"), ("/data/package", "/mnt/data/package")],
)
def test_model_dir_is_the_checkout_unless_it_lies_on_a_volume(model_dir, found):
    plan = localize(pod([{"name": "MODEL_DIR", "value": model_dir}], ["run", "$(MODEL_DIR)/x"]), MACHINE, {})
    assert (plan.main.argv, plan.main.folder) == (("run", f"{found}/x"), Path(found))


def test_volumes_that_keep_data_can_be_mounted():
    nfs = {"name": "n", "nfs": {"server": "s", "path": "/"}}
    workload = pod(volumes=[*VOLUMES, nfs], mounts=[*MOUNTS, {"name": "n", "mountPath": "/n"}])
    assert volume_names(workload) == {"data": False, "out": True, "n": True}


PATHS = st.lists(st.sampled_from(["a", "b", "ab", "out"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(PATHS, unique=True), PATHS)
def test_rewriting_takes_the_longest_mount_and_keeps_the_rest(mount_paths, path):
    mounts = [LocalMount(p, Path(f"/host{index}"), "v") for index, p in enumerate(mount_paths)]
    above = [m for m in mounts if Path(m.path) == Path(path) or Path(m.path) in Path(path).parents]
    longest = max(above, key=lambda mount: len(mount.path), default=None)
    expected = path if longest is None else str(longest.source / Path(path).relative_to(longest.path))
    assert rewrite(path, mounts) == expected
