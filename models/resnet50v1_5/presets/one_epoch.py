"""One epoch over the dataset, each image once, with the values of `full`: is the whole path in order?

Command: mlops-launch set OVERLAY --preset one_epoch
"""

OVERRIDES = {"epochs": 1, "warmup_epochs": 0.5}
