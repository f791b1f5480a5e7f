"""ResNet-50's own settings, and its defaults for the others: NVIDIA's recipe for ImageNet."""

from __future__ import annotations

from dataclasses import dataclass

from common.training import settings
from common.training.settings import setting


@dataclass(frozen=True)
class Settings(settings.Settings):
    """What ResNet-50 reads."""

    model: str = setting("resnet50", "the network; tiny is for tests", choices=("resnet50", "tiny"), resume=True)
    bn_decay: float = setting(0.9, "decay of batch norm's moving mean and variance", minimum=0, below=1, resume=True)
    batch_norm: str = setting(
        "batch",
        "statistics used in training: the batch's own, or the moving ones, left as they are",
        choices=("batch", "moving"),
        resume=True,
    )
    zero_gamma: bool = setting(True, "start each block as the identity", resume=True)

    # The recipe
    augment: str = setting(
        "imagenet", "imagenet: random crop and flip; shift: by a few pixels; none", choices=("imagenet", "shift", "none"), resume=True
    )
    epochs: int = setting(90, "times that each image is seen", above=0, resume=True)
    base_learning_rate: float = setting(0.256, "learning rate for 256 images in a step; scaled with the global batch", above=0, resume=True)
    warmup_epochs: float = setting(5.0, "epochs in which the learning rate rises linearly", minimum=0, resume=True)
    momentum: float = setting(0.875, "of the gradient descent", minimum=0, below=1, resume=True)
    weight_decay: float = setting(1 / 32768, "L2 penalty on kernels, not on batch norm and bias", minimum=0, resume=True)
    label_smoothing: float = setting(0.1, "share of the target spread over all classes", minimum=0, below=1, resume=True)
