"""Fashion-MNIST, 60,000 images of 28x28.

Command: mlops-launch set OVERLAY MODEL_NAME=mnist_mlp --preset full
"""

OVERRIDES = {"epochs": 8, "global_batch": 200, "base_learning_rate": 0.1, "warmup_epochs": 1.0, "weight_decay": 1e-4}
