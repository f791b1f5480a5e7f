"""The first processes of the containers: `launcher.py` around the training, `worker.py` for the hosts of its ranks.

Each file runs by its path, with nothing but the standard library.
"""
