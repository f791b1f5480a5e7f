"""Presets: each overrides the defaults of `Settings` and nothing else."""
