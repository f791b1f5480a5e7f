"""One epoch over the dataset, each image once: is the whole path in order?

Command: mlops-launch set OVERLAY MODEL_NAME=mnist_mlp --preset one_epoch
"""

OVERRIDES = {"epochs": 1, "global_batch": 50, "base_learning_rate": 0.2}
