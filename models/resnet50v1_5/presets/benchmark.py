"""Images per second at 224x224 on random images: no data, no evaluation, no checkpoint but the last.

Command: mlops-launch set OVERLAY --preset benchmark
"""

OVERRIDES = {
    "synthetic": True,
    "classes": 1000,
    "epochs": 1,
    "max_steps": 20,
    "global_batch": 64,
    "warmup_epochs": 0.0,
    "log_steps": 2,
    "evaluation_epochs": 0,
    "summaries": False,
}
