"""The e2e ring: off unless asked for, one cluster per pytest process, one namespace per test, the facts kept when a test fails.

Side by side (`pytest -n 2`) each process of pytest-xdist has a cluster of its own: a test may stop the API server, and disturbs nobody.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.cluster import cluster as clusters
from tests.e2e.cluster import images, operators, training_image
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.settings import REPOSITORY, SMALL_IMAGE, ClusterError, Settings, from_environment
from tests.e2e.launching import Launcher
from tests.e2e.overlays import UID, Site, make_site, remove_site, set_up_loader

HERE = Path(__file__).parent
REASON = "the e2e ring is off: --e2e or E2E=1 (root, Go 1.26, Debian 12), or E2E_KUBECONFIG=FILE for any cluster"
FULL_REASON = "only `make full`, or E2E_FULL=1, runs this one: it takes minutes and measures"
FAILED = pytest.StashKey[bool]()
LOADING = pytest.StashKey[Future[training_image.TrainingImage]]()
DIGITS = "/srv/mlops/digits"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--e2e", action="store_true", help="run the e2e ring on a real cluster, made from packages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("E2E_FULL") != "1":
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason=FULL_REASON))
    # Without this folder on the command line its option is unknown to pytest.
    if config.getoption("--e2e", default=False) or os.environ.get("E2E") == "1" or os.environ.get("E2E_KUBECONFIG"):
        return
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        item.session.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where a failed test's facts go; E2E_ARTIFACTS names another place."""
    return Path(os.environ.get("E2E_ARTIFACTS") or REPOSITORY / ".mlops" / "e2e")


@pytest.fixture(scope="session")
def settings(request: pytest.FixtureRequest) -> Settings:
    """Those of the environment; side by side, each process counts on from E2E_NUMBER."""
    process = getattr(request.config, "workerinput", {"workerid": "gw0"})["workerid"]
    return from_environment(beside=int(process.removeprefix("gw")))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, settings: Settings, artifacts: Path) -> Iterator[Cluster]:
    """The session's own cluster; one that was up before is used and stays up, as with E2E_KEEP=1."""
    if os.environ.get("E2E_KUBECONFIG"):
        pytest.skip("needs the ring's own cluster, and E2E_KUBECONFIG names another")
    found = clusters.attach(settings) is not None
    try:
        up = clusters.up(settings)
        if any("image" in getattr(item, "fixturenames", ()) for item in request.session.items):
            # A minute or two, while tests that do without it run.
            request.session.stash[LOADING] = ThreadPoolExecutor(1).submit(_load_training_image, up)
        yield up
    finally:
        if request.session.stash.get(FAILED, False):
            shutil.copytree(settings.logs, artifacts / f"components-{settings.number}", dirs_exist_ok=True)
        if not found and os.environ.get("E2E_KEEP") != "1":
            clusters.down(settings)


@pytest.fixture(scope="session")
def kubectl(request: pytest.FixtureRequest) -> Kubectl:
    """kubectl for the cluster under test: the one of E2E_KUBECONFIG, else the session's own."""
    other = os.environ.get("E2E_KUBECONFIG")
    if not other:
        own: Cluster = request.getfixturevalue("cluster")
        return own.kubectl
    program = shutil.which("kubectl")
    if program is None:
        raise ClusterError("E2E_KUBECONFIG needs a kubectl on PATH")
    return Kubectl(Path(program), Path(other))


@pytest.fixture(scope="session")
def small_image(request: pytest.FixtureRequest, settings: Settings) -> str:
    """The name of the image with Python and an ssh server; another cluster must hold it already (README.md)."""
    if not os.environ.get("E2E_KUBECONFIG"):
        request.getfixturevalue("cluster").load_image(images.small(settings.cache))
    return SMALL_IMAGE


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, cluster: Cluster) -> training_image.TrainingImage:
    """The training image, made by the project's Dockerfile and held by the node under its name."""
    return request.session.stash[LOADING].result()


@pytest.fixture(scope="session")
def mpi_operator(request: pytest.FixtureRequest) -> None:
    """mpi-operator runs in the cluster; another cluster must have it already."""
    if not os.environ.get("E2E_KUBECONFIG"):
        operators.install_mpi_operator(request.getfixturevalue("cluster"))


@pytest.fixture(scope="session")
def jobset(request: pytest.FixtureRequest) -> None:
    """JobSet runs in the cluster; another cluster must have it already."""
    if not os.environ.get("E2E_KUBECONFIG"):
        operators.install_jobset(request.getfixturevalue("cluster"))


@pytest.fixture
def namespace(request: pytest.FixtureRequest, kubectl: Kubectl, artifacts: Path) -> Iterator[str]:
    """A namespace of the test's own that enforces Pod Security `restricted`; its objects are written down on failure."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:40].strip("-")
    name = f"{slug}-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "mlops-launch/e2e": "true"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    # A pod made before its service account is refused. Controllers look again up to 30 s after the API server was away.
    deadline = time.monotonic() + 120
    while kubectl("-n", name, "get", "serviceaccount", "default", check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise ClusterError(f"no default service account after 120 s in namespace: {name}")
        time.sleep(0.1)
    try:
        yield name
    finally:
        if request.node.stash.get(FAILED, False):
            _write_down(kubectl, name, artifacts / name)
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def outputs(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """The claim `outputs` in the test's namespace; its folder, seen from here."""
    folder = cluster.settings.srv / "mlops" / namespace
    folder.mkdir(parents=True)
    os.chown(folder, UID, UID)  # hostPath knows no fsGroup
    storage = tmp_path / "storage"
    shutil.copytree(REPOSITORY / "k8s" / "storage" / "hostpath", storage)
    for name, old, new in (
        ("kustomization.yaml", "namespace: default", f"namespace: {namespace}"),
        ("storage.env", "/srv/mlops/outputs", f"/srv/mlops/{namespace}"),
    ):
        text = (storage / name).read_text()
        assert old in text
        (storage / name).write_text(text.replace(old, new))
    cluster.kubectl("apply", "-k", str(storage))
    yield folder
    cluster.kubectl("delete", "-k", str(storage), "--wait=false")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def loader_log(cluster: Cluster, image: training_image.TrainingImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The digits are in the node's folder DIGITS, put there by k8s/storage/loader; the loader's log."""
    namespace = f"dataset-loader-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    site = make_site(cluster, namespace, tmp_path_factory.mktemp("loader"), image, DIGITS)
    set_up_loader(site, image)
    try:
        site.give(DIGITS)
        site.shell("kubectl apply -k k8s/storage/loader")
        site.shell("kubectl wait --for=condition=complete job/dataset-loader --timeout=2m", seconds=150)
        yield site.shell("kubectl logs job/dataset-loader")
    finally:
        remove_site(site)
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def site(
    cluster: Cluster, image: training_image.TrainingImage, mpi_operator: None, loader_log: str, namespace: str, tmp_path: Path
) -> Iterator[Site]:
    """A namespace that enforces `restricted`, both claims, the digits, and the overlays with uid, registry and tag set."""
    made = make_site(cluster, namespace, tmp_path, image, DIGITS)
    yield made
    remove_site(made)


@pytest.fixture
def site_launcher(site: Site, kubectl: Kubectl) -> Iterator[Launcher]:
    """`mlops-launch` in the folder of the overlays."""
    with Launcher(site.folder, kubectl, site.namespace) as launcher:
        yield launcher


def _load_training_image(cluster: Cluster) -> training_image.TrainingImage:
    built = training_image.build(cluster.settings.cache)
    training_image.load(cluster.sandbox, built)
    return built


def _write_down(kubectl: Kubectl, namespace: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name", check=False).stdout.split()
    listed = ",".join(kind for kind in kinds if kind != "secrets")
    (folder / "objects.yaml").write_text(kubectl("-n", namespace, "get", listed, "-o", "yaml", check=False).stdout)
    (folder / "events.txt").write_text(kubectl("-n", namespace, "events", check=False).stdout)
    for pod in kubectl("-n", namespace, "get", "pods", "-o", "name", check=False).stdout.split():
        done = kubectl("-n", namespace, "logs", pod, "--all-containers", "--timestamps", check=False)
        (folder / f"{pod.removeprefix('pod/')}.log").write_text(done.stdout + done.stderr)
