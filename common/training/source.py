"""Where the images of a training come from: a dataset, or one random batch again and again."""

from __future__ import annotations

from typing import cast

from common.comm import Comm
from common.data.agreement import agree_on_synthetic, open_on_all_ranks
from common.data.dataset import Dataset
from common.data.image import Augment
from common.data.pipeline import Batches, evaluation_batches, synthetic_batches, training_batches
from common.errors import TrainingError
from common.output import talk
from common.training.settings import Settings
from mlops_launch.contract import ExitCode


class Source:
    """The images of one training, as this rank sees them.

    Attributes:
        images: in an epoch.
        classes: how many there are.
        is_dataset: whether they are a dataset's, which can be evaluated.
        fingerprint: changes when the data change.
        validation_images: in an evaluation; 0 without a dataset or evaluations.
        has_manifest: whether the dataset says how many classes it has.

    Raises:
        TrainingError: the dataset is missing, damaged or of another kind than the settings say.
    """

    def __init__(self, settings: Settings, comm: Comm, threads: int) -> None:
        self._settings, self._comm, self._threads = settings, comm, threads
        self._dataset = None if settings.synthetic else self._open_dataset()
        self.is_dataset = self._dataset is not None
        self.has_manifest = self._dataset is not None and bool(self._dataset.class_names)
        self.validation_images = 0
        if self._dataset is None:
            self.images, self.classes, self.fingerprint = settings.synthetic_images, settings.classes, "synthetic"
            agree_on_synthetic(comm, self.images, self.classes)
        else:
            self.images, self.classes, self.fingerprint = self._dataset.images("train"), self._dataset.classes, self._dataset.fingerprint
            if settings.global_batch > self.images:
                # The learning rate is scaled by the batch; a step could not have that many images.
                raise TrainingError(
                    f"the global batch is larger than the {self.images} images of an epoch: {settings.global_batch}",
                    "lower MLOPS_GLOBAL_BATCH, or bring more data",
                    ExitCode.CONFIGURATION,
                )
            if settings.evaluation_epochs:
                # A missing split is told now, not after the first epoch.
                self.validation_images = self._dataset.images("validation")
        if self.classes < 1:
            raise TrainingError("--synthetic needs the number of classes", "set MLOPS_CLASSES", ExitCode.CONFIGURATION)

    def _open_dataset(self) -> Dataset:
        settings, comm = self._settings, self._comm
        return open_on_all_ranks(
            settings.dataset_dir, settings.cache_dir, comm, classes=settings.classes or None, label_offset=settings.label_offset or None,
            log=talk if comm.rank == 0 else lambda line: None,
        )  # fmt: skip

    def training(self, start_step: int, total_steps: int) -> Batches:
        """Return this rank's batches of the steps after `start_step`, to the last."""
        settings, comm, steps = self._settings, self._comm, total_steps - start_step
        if self._dataset is None:
            local_batch = settings.global_batch // comm.size
            return synthetic_batches(
                classes=self.classes, image_size=settings.image_size, local_batch=local_batch, steps=steps, seed=settings.seed
            )
        return training_batches(
            self._dataset, "train", seed=settings.seed, start_step=start_step, steps=steps, global_batch=settings.global_batch,
            rank=comm.rank, world_size=comm.size, image_size=settings.image_size, augment=cast(Augment, settings.augment),
            threads=self._threads,
        )  # fmt: skip

    def validation(self) -> Batches:
        """Return this rank's batches of the validation images."""
        assert self._dataset is not None
        settings, comm = self._settings, self._comm
        return evaluation_batches(
            self._dataset, "validation", local_batch=settings.evaluation_batch, rank=comm.rank, world_size=comm.size,
            image_size=settings.image_size, augment=cast(Augment, settings.augment), threads=self._threads,
        )  # fmt: skip
