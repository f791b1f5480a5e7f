"""Presets: each overrides the defaults of `Config` and nothing else."""
