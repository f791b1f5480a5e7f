"""The settings that every model has. A model's own class inherits them, adds its own and gives other defaults.

A field is a setting, and there is no second list of them: the field `base_learning_rate` is the flag
`--base-learning-rate` and the variable MLOPS_BASE_LEARNING_RATE. The launcher reads these files without importing them,
so defaults and arguments are literals, or arithmetic of literals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    resume: bool = False,
    per_rank: bool = False,
) -> Any:
    """Return a field of `Settings`.

    Args:
        default: its value where nothing else is given.
        help: one line, for people.
        choices: the values that a text may have.
        minimum: the least value that a number may have.
        above: a number must be greater than this.
        below: a number must be less than this.
        resume: whether a resumed training must have the same value.
        per_rank: whether ranks may have different values.
    """
    bounds = {"minimum": minimum, "above": above, "below": below}
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume, "per_rank": per_rank, **bounds})


@dataclass(frozen=True)
class Settings:
    """Everything that a training reads. Lengths in steps or epochs, sizes in pixels, batches in images."""

    # Where
    dataset_dir: str = setting("", "folder of TFRecords: train-* and validation-*", per_rank=True)
    output_dir: str = setting("", "folder of this run alone: metrics, checkpoints, summaries", per_rank=True)
    cache_dir: str = setting("", "folder on this node's own disk to copy the records to first")
    # What
    synthetic: bool = setting(False, "random images instead of a dataset")
    synthetic_images: int = setting(1281167, "images in an epoch with --synthetic", above=0)
    classes: int = setting(0, "number of classes, for a dataset without manifest or --synthetic", minimum=0, resume=True)
    label_offset: int = setting(0, "label of the first class, for a dataset without manifest (ImageNet: 1)", minimum=0)
    image_size: int = setting(224, "height and width of the network's input", minimum=1, below=8193, resume=True)
    augment: str = setting(
        "none", "imagenet: random crop and flip; shift: by a few pixels; none", choices=("imagenet", "shift", "none"), resume=True
    )
    # How long
    epochs: int = setting(10, "times that each image is seen", above=0, resume=True)
    max_steps: int = setting(0, "end after this many steps, evaluation included; 0: no limit", minimum=0, resume=True)
    # How
    global_batch: int = setting(256, "images in a step over all ranks; one step in an epoch may have fewer", above=0, resume=True)
    base_learning_rate: float = setting(0.1, "learning rate for 256 images in a step; scaled with the global batch", above=0, resume=True)
    schedule: str = setting(
        "cosine", "after the warm-up: half a cosine, or a tenth after epochs 30, 60, 80", choices=("cosine", "step"), resume=True
    )
    warmup_epochs: float = setting(0.0, "epochs in which the learning rate rises linearly", minimum=0, resume=True)
    momentum: float = setting(0.9, "of the gradient descent", minimum=0, below=1, resume=True)
    weight_decay: float = setting(0.0, "L2 penalty on kernels, not on batch norm and bias", minimum=0, resume=True)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", minimum=0, below=1, resume=True)
    # With the epoch it makes the key of each image's random choices: 64 bits with a sign.
    seed: int = setting(0, "of initial values, order and augmentation", minimum=0, below=2147483648, resume=True)
    precision: str = setting("fp32", "of activations; variables are float32", choices=("fp32", "bf16"), resume=True)
    force_precision: bool = setting(False, "use bf16 on a CPU that emulates it", per_rank=True)
    deterministic: bool = setting(False, "use only operations that give the same bits each time")
    # Ranks and threads
    comm: str = setting(
        "auto", "how ranks talk; auto is one process only without mpirun", choices=("auto", "horovod", "mpi4py", "single"), per_rank=True
    )
    threads: int = setting(0, "threads of a rank; 0: its share of the container's CPU limit", minimum=0, below=4097, per_rank=True)
    # What is written, and when
    log_steps: int = setting(10, "steps between two lines of the log", above=0)
    checkpoint_steps: int = setting(0, "steps between two checkpoints, beside the one after each evaluation", minimum=0)
    keep_checkpoints: int = setting(3, "checkpoints that stay", above=0)
    evaluation_epochs: int = setting(1, "epochs between two evaluations; the last step has one; 0: none", minimum=0)
    evaluation_batch: int = setting(64, "images that a rank evaluates at a time", above=0)
    summaries: bool = setting(True, "write TensorBoard files")
    trace_samples: str = setting("", "folder for one file per rank with the record numbers of each step", per_rank=True)

    def for_resume(self) -> dict[str, Any]:
        """Return the fields that a resumed training must share with the one before."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["resume"]}

    def for_all_ranks(self) -> dict[str, Any]:
        """Return the fields that every rank must share."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata["per_rank"]}
