"""Names of variables that libraries and the system read: a user may set them although no file of this package names them."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

LIBRARY_PREFIXES = (
    "NCCL_", "OMP_", "OMPI_", "PRTE_", "PMIX_", "UCX_", "CUDA_", "XLA_", "KMP_", "MKL_", "PYTHON", "LD_", "MALLOC_", "GOMP_", "NVIDIA_",
    "AWS_", "GOOGLE_", "AZURE_", "WANDB_", "MLFLOW_", "HF_", "KERAS_", "GRPC_", "REQUESTS_", "SSL_", "CURL_",
)  # fmt: skip
# What every program reads: the shell's, the locale's, a proxy's.
SYSTEM = (
    "HOME", "PATH", "USER", "SHELL", "TERM", "LANG", "LANGUAGE", "LC_*", "TZ", "HOSTNAME", "TMPDIR", "XDG_*", "NO_COLOR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip


def is_known(key: str, keys: Collection[str], prefixes: tuple[str, ...]) -> bool:
    """Return whether something is known to read a variable of that name.

    Args:
        key: its name.
        keys: the names that the package reads.
        prefixes: the beginnings of those that it reads.
    """
    return key in keys or key.startswith((*prefixes, *LIBRARY_PREFIXES)) or any(fnmatchcase(key, pattern) for pattern in SYSTEM)
