"""The words of docs/guides/storage.md bring images of one's own onto the claim."""

from pathlib import Path

from PIL import Image

from mlops_launch.contract import parse_fields
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.settings import REPOSITORY
from tests.e2e.cluster.training_image import TrainingImage
from tests.e2e.overlays import make_site, remove_site, set_up_loader

GUIDE = REPOSITORY / "docs" / "guides" / "storage.md"
JOB = "k8s/storage/loader/job.yaml"


def block(language: str) -> str:
    """The first block of a language in the guide's part on data of one's own."""
    part = GUIDE.read_text().split("### Data of your own")[1]
    return part.split(f"```{language}\n")[1].split("```")[0]


def test_images_of_ones_own_become_a_dataset(cluster: Cluster, image: TrainingImage, namespace: str, tmp_path: Path) -> None:
    datasets = f"/srv/mlops/{namespace}/datasets"
    site = make_site(cluster, namespace, tmp_path, image, datasets)
    site.give(datasets)
    set_up_loader(site, image)
    command = (site.folder / JOB).read_text().split("        command:\n")[1].split("        env:\n")[0]
    site.replace(JOB, "        command:\n" + command, block("yaml"))
    for name in ("cat", "dog"):
        (site.folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (40, 40), (number * 10, 5, number)).save(site.folder / "photos" / name / f"{number}.png")
    try:
        result = parse_fields(site.shell(block("sh")).split("result ")[1])
        assert (int(result["train"]) + int(result["validation"]), result["classes"]) == (40, "2")
    finally:
        remove_site(site)
