"""Which cluster, as whom, in which namespace: the kubeconfig as kubectl reads it, or the service account of a pod.

Its format: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlops_launch.errors import LauncherError, NoCluster, UsageError

DEFAULT: Final = "~/.kube/config"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """The way to one cluster.

    Args:
        api: the `kubernetes` client's ApiClient.
        context: the kubeconfig's context; None inside a pod.
        namespace: the context's own, or the pod's.
        complaints: why the plugin for credentials failed, when it did; it is called again when a token has expired.
    """

    api: Any
    context: str | None
    namespace: str
    complaints: list[str] = field(default_factory=list)


def access(context: str | None) -> Access:
    """Return the way to the cluster of a context, or of the kubeconfig's current one; without a kubeconfig, that of the pod.

    Raises:
        UsageError: there is no such context.
        LauncherError: no cluster is known, or its credentials cannot be had.
    """
    from kubernetes import client, config

    settings = client.Configuration()
    settings.retries = False  # the client repeats what may be repeated
    settings.connection_pool_maxsize = 100
    files = os.environ.get("KUBECONFIG") or DEFAULT
    known, current = _contexts(files)
    if not known and context is None and (SERVICE_ACCOUNT / "token").exists():
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise LauncherError(f"cannot use the pod's service account: {error}", "set KUBECONFIG, or run where the pod has one") from error
        return Access(client.ApiClient(settings), None, (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip())
    name = _choose(known, current, context, files)
    failure = f"cannot use the kubeconfig's context {name}"
    complaints = _complaints()
    try:
        config.load_kube_config(files, context=name, client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError) as error:
        raise LauncherError(f"{failure}: {error}", f"`kubectl get namespaces --context {name}` asks with it too") from error
    _complete(settings)
    _complete_again(settings)
    if complaints and not settings.api_key and not settings.cert_file:
        hint = f"its plugin for credentials failed; `kubectl get namespaces --context {name}` calls it too"
        raise LauncherError(f"{failure}: {complaints[-1]}", hint)
    return Access(client.ApiClient(settings), name, str(known[name].get("namespace") or "default"), complaints)


def _complete(settings: Any) -> None:
    """Give a server without a scheme the one that kubectl gives it."""
    if "://" not in settings.host:
        secure = settings.ssl_ca_cert or settings.cert_file or not settings.verify_ssl
        settings.host = f"{'https' if secure else 'http'}://{settings.host}"


def _complete_again(settings: Any) -> None:
    """Have it so too when the client renews the token, for which it reads the server once more."""
    renew = settings.refresh_api_key_hook

    def renew_and_complete(renewed: Any) -> None:
        renew(renewed)
        _complete(renewed)

    if renew is not None:
        settings.refresh_api_key_hook = renew_and_complete


def _contexts(files: str) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return the contexts of the kubeconfig by name, and the name of the current one."""
    import yaml
    from kubernetes import config
    from kubernetes.config.kube_config import KubeConfigMerger

    hint = "`kubectl config view` reads it too; KUBECONFIG names another"
    try:
        merged = KubeConfigMerger(files).config  # type: ignore[no-untyped-call]
        if merged is None:
            return {}, None
        return {node["name"]: dict(node["context"].value) for node in merged["contexts"]}, merged.safe_get("current-context")
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise LauncherError(f"the kubeconfig is not YAML{place}: {files}", hint) from error
    except (config.ConfigException, OSError, ValueError) as error:
        raise LauncherError(f"cannot read the kubeconfig: {error}", hint) from error
    except (AttributeError, KeyError, TypeError) as error:  # the client expects the right shape
        raise LauncherError(f"not a kubeconfig: {files}", hint) from error


def _choose(known: dict[str, dict[str, Any]], current: str | None, asked: str | None, files: str) -> str:
    names = ", ".join(known)
    if not known:
        raise NoCluster(
            f"no cluster is known: no kubeconfig, or no context in it: {files}",
            "set KUBECONFIG, or write ~/.kube/config; `mlops-launch run OVERLAY --local` needs no cluster",
        )
    if asked is not None:
        if asked not in known:
            raise UsageError(f"no such context in the kubeconfig: {asked}", f"known: {names}")
        return asked
    if not current:
        raise LauncherError(f"the kubeconfig has no current context: {files}", f"choose one by `--context`: {names}")
    if current not in known:
        raise LauncherError(f"the kubeconfig's current context is not in it: {current}", f"choose one by `--context`: {names}")
    return current


def _complaints() -> list[str]:
    """Return a list that gets what the client logs: when a plugin for credentials fails, it says so there only, and continues."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(" ".join(record.getMessage().split()))  # type: ignore[method-assign]
    handler.addFilter(lambda record: record.name == "root")  # the client logs without a name
    logging.getLogger().addHandler(handler)
    return said
