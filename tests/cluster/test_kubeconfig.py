"""Which cluster is meant: the kubeconfig is read as kubectl reads it, and what is wrong with it is said in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops_launch.cli.main import main
from mlops_launch.clients import kubeconfig
from mlops_launch.clients.cluster import Cluster
from mlops_launch.errors import LauncherError
from tests.cluster.conftest import Call, Ended

SERVER = "https://127.0.0.1:1"  # nothing listens on port 1
CONTEXTS = f"""
apiVersion: v1
kind: Config
clusters:
- {{name: far, cluster: {{server: "{SERVER}"}}}}
users:
- {{name: me, user: {{token: secret}}}}
contexts:
- {{name: prod, context: {{cluster: far, user: me, namespace: team}}}}
- {{name: test, context: {{cluster: far, user: me}}}}
- {{name: torn, context: {{cluster: gone, user: me}}}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path / "no-service-account")
    return path


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls `mlops-launch` with the clients of this machine."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        result = CliRunner().invoke(main, words, prog_name="mlops-launch")
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.mark.parametrize("current", ["", 'current-context: ""', "current-context: renamed", "current-context: test"])
def test_a_context_that_is_named_is_used_whatever_the_current_one_is(config: Path, current: str) -> None:
    config.write_text(CONTEXTS + current)
    cluster = Cluster.connect("prod")
    assert (cluster.context, cluster.namespace) == ("prod", "team")
    assert Cluster.connect("prod", "other").namespace == "other"


def test_the_current_context_is_used_and_its_namespace_is_default_when_it_names_none(config: Path) -> None:
    config.write_text(CONTEXTS + "current-context: test")
    cluster = Cluster.connect()
    assert (cluster.context, cluster.namespace) == ("test", "default")


def test_several_files_are_merged(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(CONTEXTS)
    other = config.with_name("other")
    other.write_text("apiVersion: v1\nkind: Config\ncurrent-context: prod\n")
    monkeypatch.setenv("KUBECONFIG", f"{config}:{config.with_name('missing')}:{other}")
    assert Cluster.connect().context == "prod"


@pytest.mark.parametrize(
    ("written", "words", "code", "error"),
    [
        (None, (), 1, "no cluster is known: no kubeconfig, or no context in it: {file}"),
        ("apiVersion: v1\nkind: Config\n", (), 1, "no cluster is known: no kubeconfig, or no context in it: {file}"),
        ("", (), 1, "cannot read the kubeconfig: Invalid kube-config. {file} file is empty"),
        ("a: [\n", (), 1, "the kubeconfig is not YAML, line 2: {file}"),
        ("- 1\n", (), 1, "not a kubeconfig: {file}"),
        (CONTEXTS, (), 1, "the kubeconfig has no current context: {file}"),
        (CONTEXTS + "current-context: renamed", (), 1, "the kubeconfig's current context is not in it: renamed"),
        (CONTEXTS, ("--context", "dev"), 2, "no such context in the kubeconfig: dev"),
        (CONTEXTS, ("--context", "torn"), 1, "cannot use the kubeconfig's context torn: "),
        (CONTEXTS, ("--context", "prod"), 1, f"cannot reach the cluster at {SERVER}: Connection refused"),
        (CONTEXTS.replace("https://", ""), ("--context", "prod"), 1, "cannot reach the cluster at http://127.0.0.1:1: Connection refused"),
    ],
    ids=[
        "none",
        "no-contexts",
        "empty",
        "not-yaml",
        "not-a-kubeconfig",
        "no-current",
        "stale-current",
        "unknown",
        "torn",
        "unreachable",
        "no-scheme",
    ],
)
def test_trouble_is_one_line_and_a_hint(
    call: Call, config: Path, written: str | None, words: tuple[str, ...], code: int, error: str
) -> None:
    if written is not None:
        config.write_text(written)
    ended = call("status", "training", "-n", "team", *words)
    line, blank, hint, *rest = ended.stderr.splitlines()
    assert (ended.exit_code, ended.stdout, blank, rest) == (code, "", "", [])
    assert line.startswith("Error: " + error.format(file=config))
    assert hint.startswith("hint: ")


def plugin(config: Path, program: str) -> None:
    """A context whose user asks a Python program for credentials."""
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", program]}}
    clusters, contexts = [{"name": "far", "cluster": {"server": SERVER}}], [{"name": "prod", "context": {"cluster": "far", "user": "me"}}]
    config.write_text(json.dumps({"clusters": clusters, "users": [{"name": "me", "user": user}], "contexts": contexts}))


def test_a_plugin_gives_the_token(config: Path) -> None:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "fresh"}}
    plugin(config, f"print({json.dumps(answer)!r})")
    assert kubeconfig.access("prod").api.configuration.api_key == {"BearerToken": "Bearer fresh"}


def test_a_plugin_that_fails_is_an_error_and_no_anonymous_request(config: Path) -> None:
    plugin(config, "import sys; sys.exit('the session has expired')")
    with pytest.raises(
        LauncherError, match="^cannot use the kubeconfig's context prod: exec: process returned 1. the session has expired\n"
    ):
        Cluster.connect("prod")


def test_a_pod_without_a_usable_service_account_is_told_so(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret")
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(LauncherError, match="^cannot use the pod's service account: Service host/port is not set.\n"):
        Cluster.connect()
