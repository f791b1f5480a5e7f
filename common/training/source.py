"""Where the images of a training come from: a dataset, or one random batch again and again."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from common.comm import Comm, local_rank
from common.data.dataset import Dataset, open_dataset
from common.data.image import Augment
from common.data.pipeline import Batches, evaluation_batches, synthetic_batches, training_batches
from common.data.stage import stage
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

    Raises:
        TrainingError: the dataset is missing, damaged or of another kind than the settings say.
    """

    def __init__(self, settings: Settings, comm: Comm, threads: int) -> None:
        self._settings, self._comm, self._threads = settings, comm, threads
        self._dataset = None if settings.synthetic else self._open_dataset()
        self.is_dataset = self._dataset is not None
        if self._dataset is None:
            self.images, self.classes, self.fingerprint = settings.synthetic_images, settings.classes, "synthetic"
        else:
            self.images, self.classes, self.fingerprint = self._dataset.images("train"), self._dataset.classes, self._dataset.fingerprint
            if settings.evaluation_epochs:
                # A missing split is told now, not after the first epoch.
                self._dataset.images("validation")
        if self.classes < 1:
            raise TrainingError("--synthetic needs the number of classes", "set MLOPS_CLASSES", ExitCode.CONFIGURATION)

    def _open_dataset(self) -> Dataset:
        settings, comm = self._settings, self._comm
        folder = Path(settings.dataset_dir)
        log = talk if comm.rank == 0 else lambda line: None
        if settings.cache_dir:
            folder = stage(folder, settings.cache_dir, local_rank=local_rank(comm), barrier=comm.barrier, log=log)
        return open_dataset(folder, classes=settings.classes or None, label_offset=settings.label_offset or None, log=log)

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
