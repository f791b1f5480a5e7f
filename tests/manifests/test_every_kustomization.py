"""Every kustomization of the repository renders, without a warning, alike with the oldest and the newest kustomize."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests.tools import COMPONENTS, NEEDS_NETWORK, ROOT, Kustomize, kustomizations

ALLOWED_FIELDS = {
    "apiVersion",
    "components",
    "configMapGenerator",
    "configurations",
    "images",
    "kind",
    "labels",
    "namespace",
    "openapi",
    "patches",
    "replacements",
    "resources",
}
LINK = re.compile(r"\]\(([^)#:\s]+)\)")
OFFLINE = [folder for folder in kustomizations() if folder not in NEEDS_NETWORK]


def test_the_search_finds_the_overlays_and_what_a_platform_engineer_applies() -> None:
    expected = {f"quickstart/k8s/mlops/{mode}" for mode in ("single-node", "multi-node", "all-reduce")}
    expected |= {"k8s/gc", "k8s/rbac", "k8s/quota"} | {f"k8s/storage/{kind}" for kind in ("default", "nfs", "hostpath", "loader")}
    assert expected <= set(OFFLINE)


def test_the_programs_are_the_versions_that_are_promised(kubectl: Kustomize, kustomize: Kustomize) -> None:
    client = json.loads(subprocess.run([kubectl.argv[0], "version", "--client", "-o", "json"], capture_output=True, check=True).stdout)
    assert client["clientVersion"]["gitVersion"].startswith("v1.37.")
    # `kustomize version` says (devel) after `go install`; the module's version is in the program itself.
    built_from = subprocess.run(["go", "version", "-m", kustomize.argv[0]], capture_output=True, text=True, check=True).stdout
    assert "\tmod\tsigs.k8s.io/kustomize/kustomize/v5\tv5.4.2\t" in built_from


@pytest.mark.parametrize("folder", OFFLINE)
def test_renders_without_a_warning_and_alike(folder: str, kubectl: Kustomize, kustomize: Kustomize) -> None:
    newest, oldest = kubectl.render(ROOT / folder), kustomize.render(ROOT / folder)
    assert (newest.returncode, newest.stderr) == (0, "")
    assert (oldest.returncode, oldest.stderr) == (0, "")
    assert oldest.stdout == newest.stdout
    assert newest.objects


@pytest.mark.parametrize("folder", sorted(NEEDS_NETWORK))
def test_a_remote_reference_is_pinned_to_a_version(folder: str) -> None:
    resources = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert [resource for resource in resources if "?ref=v" not in resource] == []


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=str(p.parent.relative_to(ROOT))) for p in sorted(ROOT.glob("quickstart/**/kustomization.yaml"))]
)
def test_uses_no_deprecated_field(path: Path) -> None:
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) <= ALLOWED_FIELDS


@pytest.mark.parametrize("folder", ["k8s", "k8s/kind", *(f for f in kustomizations() if f.startswith("k8s/"))])
def test_a_platform_folder_says_when_to_use_it(folder: str) -> None:
    assert (ROOT / folder / "README.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("folder", [folder for folder in OFFLINE if folder.startswith("k8s/")])
def test_a_platform_folder_names_the_namespace_that_its_files_have(folder: str, kubectl: Kustomize) -> None:
    names = {item["metadata"]["namespace"] for item in kubectl.render(ROOT / folder).objects if "namespace" in item["metadata"]}
    said = re.findall(r"the namespace of the jobs; the file has `(\S+?)`", (ROOT / folder / "README.md").read_text(encoding="utf-8"))
    assert names == set(said)
    # Where nothing is in the files, the context's namespace is taken: no command may name one.
    commands = re.findall(r"^kubectl .*$", (ROOT / folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert said or [command for command in commands if "-n " in command] == []


@pytest.mark.parametrize("link", sorted({(path, link) for path in ROOT.glob("k8s/**/*.md") for link in LINK.findall(path.read_text())}))
def test_a_link_of_a_platform_folder_stays_within_what_init_unpacks(link: tuple[Path, str]) -> None:
    page, target = link
    assert (page.parent / target).resolve().is_relative_to(ROOT / "k8s"), "a folder of `mlops-launch init` has no docs/"


@pytest.mark.parametrize("component", sorted(path.name for path in COMPONENTS.iterdir()))
def test_a_component_says_when_to_use_it(component: str) -> None:
    assert f"components/{component}\n" in (COMPONENTS / component / "README.md").read_text(encoding="utf-8")
