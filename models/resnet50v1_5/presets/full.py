"""90 epochs of ImageNet in the recipe of NVIDIA's ResNet-50 v1.5, published with 77.0 % top-1 (batch 256 x 8).

momentum 0.875, 0.256 per 256 images, cosine, warm-up, weight decay 1/32768 not on batch norm, label smoothing 0.1:
these are the defaults of `Settings`.  Not run by this project: no ImageNet here.

Command: mlops-launch set OVERLAY --preset full
"""

OVERRIDES = {"epochs": 90, "warmup_epochs": 8.0, "checkpoint_steps": 1000}
