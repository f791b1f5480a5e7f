"""scikit-learn's digits: a held-out top-1 above 0.95 in seconds.

Command: mlops-launch set OVERLAY MODEL_NAME=mnist_mlp --preset demo
"""

OVERRIDES = {"epochs": 12, "global_batch": 50, "base_learning_rate": 0.2, "warmup_epochs": 1.0, "evaluation_epochs": 4}
