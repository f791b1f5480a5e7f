"""Train ResNet-50 v1.5 as a Pod or an MPIJob from one kustomize overlay."""

__version__ = "0.1.0"
