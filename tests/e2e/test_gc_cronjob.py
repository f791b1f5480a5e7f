"""The words of k8s/gc/README.md delete jobs that have ended, completely, and keep the one that runs and the claims."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import workloads
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import REPOSITORY
from tests.e2e.cluster.training_image import REGISTRY, TrainingImage
from tests.e2e.launching import Launcher
from tests.e2e.overlays import Site, make_site, remove_site
from tests.e2e.test_delete import SLEEP, running

README = REPOSITORY / "k8s" / "gc" / "README.md"

pytestmark = pytest.mark.usefixtures("small_image", "mpi_operator")


@pytest.fixture
def site(cluster: Cluster, image: TrainingImage, namespace: str, tmp_path: Path) -> Iterator[Site]:
    """A namespace with both claims, and k8s/gc with the edits that everybody must make; what has ended is old after a second."""
    made = make_site(cluster, namespace, tmp_path, image, f"/srv/mlops/{namespace}/datasets")
    made.replace("k8s/gc/kustomization.yaml", "namespace: default", f"namespace: {namespace}")
    made.replace("k8s/gc/gc.env", "registry.example.com/mlops", REGISTRY)
    made.replace("k8s/gc/gc.env", "IMAGE_TAG=0.1.0", f"IMAGE_TAG={image.tag}")
    made.replace("k8s/gc/gc.env", "OLDER_THAN=2d", "OLDER_THAN=1s")
    yield made
    remove_site(made)


@pytest.fixture
def launch(site: Site, kubectl: Kubectl) -> Iterator[Launcher]:
    with Launcher(site.folder, kubectl, site.namespace) as launcher:
        yield launcher


def test_the_cron_job_deletes_what_has_ended_and_nothing_else(site: Site, launch: Launcher) -> None:
    running(launch, workloads.mpi_job(site.folder / "runs", SLEEP, name="runs"), "runs")
    stays = launch.listing()
    assert {"persistentvolumeclaim/datasets", "persistentvolumeclaim/outputs"} <= set(stays)
    assert launch("run", str(workloads.mpi_job(site.folder / "ended", "print('done')", name="ended"))).code == 0
    assert {"mpijob.kubeflow.org/ended", "secret/ended-ssh", "configmap/ended-config"} <= set(launch.listing())
    assert launch("run", str(workloads.pod(site.folder / "single", "print('done')", name="single"))).code == 0
    time.sleep(2)

    words = README.read_text().split("```sh\n")[1].split("```")[0]
    log = site.shell(words.replace("team-a", site.namespace))
    assert [line for line in log.splitlines() if line.startswith(("deleted ", "still there: "))] == [
        f"deleted MPIJob ended in namespace {site.namespace}",
        f"deleted Pod single in namespace {site.namespace}",
    ]
    assert json.loads(launch("status", "runs", "--json").stdout)["state"] == "running"

    site.shell("kubectl delete -k k8s/gc")
    site.wait(lambda: launch.listing() == stays, "end of the finished trainings and of the CronJob", 60)
