"""The two overlays on a real cluster: with kubectl alone in the seed's own words, by `mlops-launch run`, and what must not be silent."""

import json
import time

import pytest

from mlops_launch.contract import ExitCode, parse_fields, start_line
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.launching import Launcher, of_ranks
from tests.e2e.overlays import MULTI_NODE, QUICK, SINGLE_NODE, UID, Site

WORKERS = ["resnet50v1-5-worker-0", "resnet50v1-5-worker-1"]


def objects(site: Site) -> str:
    """Everything in the namespace but events."""
    kinds = sorted(set(site.shell("kubectl api-resources --namespaced --verbs=list -o name").split()) - {"events", "events.events.k8s.io"})
    return site.shell(f"kubectl get {','.join(kinds)} -o name")


def first(log: str, word: str) -> str:
    """The first line of a log that begins with a word."""
    return next(line for line in log.splitlines() if line.startswith(word))


def test_the_loader_job_puts_the_digits_on_the_claim(loader_log: str, cluster: Cluster) -> None:
    result = parse_fields(first(loader_log, "result "))
    expected = {"dataset": "digits", "train": "1412", "validation": "385", "classes": "10", "skipped": "0", "output": "/datasets"}
    assert {name: result[name] for name in expected} == expected
    manifest = cluster.settings.srv / "mlops/digits/manifest.json"
    assert json.loads(manifest.read_text())["name"] == "digits"


@pytest.mark.parametrize(
    ("overlay", "word", "comm", "hosts"),
    [
        (MULTI_NODE, "launch", "horovod", WORKERS),
        (SINGLE_NODE, "training", "single", ["resnet50v1-5-training"]),
    ],
    ids=["multi-node", "single-node"],
)
def test_the_words_of_the_seed_train(site: Site, overlay: str, word: str, comm: str, hosts: list[str]) -> None:
    # The network as it is; a few steps, because the ranks share what cores there are.
    site.set(overlay, MLOPS_MAX_STEPS=4)
    before = objects(site)
    begun = time.monotonic()
    site.shell(f"kubectl -k {overlay} apply")
    site.started(word)
    log = site.shell(f"kubectl logs -f $(kubectl get pods -oname|grep {word}|cut -c5-)")
    assert site.ended(word) == ExitCode.SUCCESS
    print(f"{overlay}: {time.monotonic() - begun:.1f} s from apply to success")
    assert [line for line in log.splitlines() if line.startswith("start ")] == [start_line(comm, hosts)]
    result = parse_fields(log.splitlines()[-1])
    assert (result["step"], result["world_size"]) == ("4", str(len(hosts)))
    if overlay == MULTI_NODE:
        site.shell("kubectl wait mpijob/resnet50v1-5 --for=condition=Succeeded --timeout=30s")
    site.shell(f"kubectl -k {overlay} delete")
    site.wait(lambda: objects(site) == before, "end of everything that apply made", 60)
    # What was written is still there, and belongs to the training's user.
    (output,) = site.outputs.iterdir()
    assert (output / "launcher.log").read_text() == log
    assert {path.stat().st_uid for path in output.rglob("*")} == {UID}
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["step-00000004.safetensors"]


@pytest.mark.parametrize(
    ("overlay", "comm", "hosts"),
    [(MULTI_NODE, "horovod", WORKERS), (SINGLE_NODE, "single", ["resnet50v1-5-training"])],
    ids=["multi-node", "single-node"],
)
def test_run_trains_keeps_the_log_and_delete_leaves_nothing(
    site: Site, site_launcher: Launcher, overlay: str, comm: str, hosts: list[str]
) -> None:
    site.set(overlay, MLOPS_MAX_STEPS=4)
    before = site_launcher.listing()
    ended = site_launcher("run", overlay)
    assert ended.code == ExitCode.SUCCESS, ended.stderr
    (archive,) = site_launcher.archives()
    log = (archive / "training.log").read_text()
    assert log == ended.stdout
    assert of_ranks(log.splitlines())[0] == start_line(comm, hosts)
    result = parse_fields(log.splitlines()[-1])
    assert log.splitlines()[-1].startswith("result ")
    assert (result["step"], result["world_size"]) == ("4", str(len(hosts)))
    (output,) = site.outputs.iterdir()
    assert (output / "launcher.log").read_text() == log
    workers = [f"{host}.log" for host in hosts] if overlay == MULTI_NODE else []
    assert sorted(path.name for path in archive.glob("pods/*")) == workers
    record = site_launcher.record()
    assert (record["exit_code"], record["try"], record["gaps"], record["result"]["step"]) == (0, 1, [], 4)
    deleted = site_launcher("delete", overlay)
    assert deleted.code == 0, deleted.stderr
    assert site_launcher.listing() == before
    assert (output / "checkpoints/step-00000004.safetensors").exists()


def test_another_model_trains_through_the_same_overlay(site: Site) -> None:
    site.set(MULTI_NODE, MODEL_NAME="mnist_mlp", OUTPUT_DIR="/outputs/mnist-mlp")
    site.shell(f"kubectl apply -k {MULTI_NODE}")
    site.shell("kubectl wait mpijob/resnet50v1-5 --for=condition=Succeeded --timeout=3m", seconds=200)
    log = site.log("launch")
    assert first(log, "start ") == start_line("horovod", WORKERS)
    assert parse_fields(first(log, "plan "))["model"] == "mnist_mlp"
    result = parse_fields(log.splitlines()[-1])
    assert (result["world_size"], result["output"]) == ("2", "/outputs/mnist-mlp")
    assert float(result["top1"]) >= 0.93


def test_without_the_hostfile_setting_the_job_fails_with_the_placement_error(site: Site) -> None:
    site.set(MULTI_NODE, **QUICK)
    setting = "            - name: PRTE_MCA_prte_default_hostfile\n              value: /etc/mpi/hostfile\n"
    site.replace("quickstart/common/tensorflow/k8s/mlops/multi-node/mpi-job.yaml", setting, "")
    site.shell(f"kubectl apply -k {MULTI_NODE}")
    site.shell("kubectl wait mpijob/resnet50v1-5 --for=condition=Failed --timeout=2m", seconds=130)
    assert site.exit_code("launch") == ExitCode.CONFIGURATION
    assert first(site.log("launch"), "error: ") == "error: asked for 1 ranks on each of 2 hosts, found: 2 on resnet50v1-5-launcher"


def test_a_deleted_launcher_saves_and_the_next_apply_goes_on(site: Site) -> None:
    site.set(MULTI_NODE, **QUICK | {"MLOPS_MAX_STEPS": "400", "MLOPS_EPOCHS": "100", "MLOPS_LOG_STEPS": "1"})
    site.shell(f"kubectl apply -k {MULTI_NODE}")
    site.started("launch")
    copy = site.outputs / "resnet50v1-5-multi-node" / "launcher.log"
    site.wait(lambda: copy.exists() and "step=3/" in copy.read_text(), "third step", 120)
    name = site.shell("kubectl get pods -oname|grep launch|cut -c5-").strip()
    path = "{.status.containerStatuses[0].state.terminated.exitCode} "
    seen = site.start(f"exec kubectl get pod {name} --watch -o jsonpath='{path}'")
    site.shell(f"kubectl delete pod {name}")
    seen.terminate()
    assert str(int(ExitCode.INTERRUPTED)) in seen.communicate()[0].split()
    stopped = first(copy.read_text(), "stopped on request after step ")
    step = int(stopped.removeprefix("stopped on request after step ").split(";")[0])
    site.shell(f"kubectl delete -k {MULTI_NODE}")
    site.wait(lambda: site.pods() == [], "end of the workers", 150)

    site.shell(f"kubectl apply -k {MULTI_NODE}")
    site.started("launch")
    assert site.ended("launch") == ExitCode.SUCCESS
    log = site.log("launch")
    assert parse_fields(first(log, "resume "))["step"] == str(step)
    steps = [int(line[5:].split("/")[0]) for line in log.splitlines() if line.startswith("step=")]
    assert steps == list(range(step + 1, 401))


def test_a_rank_killed_for_memory_is_named_in_the_log(site: Site) -> None:
    site.set(MULTI_NODE, "--memory", "900Mi", MLOPS_IMAGE_SIZE=224, MLOPS_MAX_STEPS=4)
    site.shell(f"kubectl apply -k {MULTI_NODE}")
    site.shell("kubectl wait mpijob/resnet50v1-5 --for=condition=Failed --timeout=3m", seconds=200)
    assert site.exit_code("launch") == ExitCode.KILLED
    # The workers, and their logs with them, go when the job has failed: the launcher repeats it.
    line = first(site.log("launch"), "out-of-memory ")
    host = parse_fields(line)["host"]
    assert host in ("resnet50v1-5-worker-0", "resnet50v1-5-worker-1")
    assert line == f"out-of-memory host={host} kills=1 limit_bytes={900 << 20}"


def test_a_pod_killed_for_memory_says_so_in_its_status(site: Site) -> None:
    site.set(SINGLE_NODE, "--memory", "900Mi", MLOPS_IMAGE_SIZE=224, MLOPS_MAX_STEPS=4)
    site.shell(f"kubectl apply -k {SINGLE_NODE}")
    assert site.ended("training") == ExitCode.KILLED
    pod = site.pod("training")
    assert pod is not None
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"
