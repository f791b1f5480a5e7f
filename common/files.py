"""Files written whole or not at all, and what an error of the file system means for a run: words, hint, exit code."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from common.errors import TrainingError
from mlops_launch.contract import ExitCode

PARTIAL: Final = ".partial"

_RESUMES: Final = "the same command then resumes where it stopped"
_FULL: Final = f"make room or raise the quota; {_RESUMES}"
_DEVICE: Final = f"check the disk or the mount; {_RESUMES}"

# 74: the device has failed or is full, the folder itself was right. Everything else is 73.
_IO_ERRORS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: f"raise the limit on the size of a file (`ulimit -f`); {_RESUMES}",
    errno.EIO: _DEVICE,
    errno.EREMOTEIO: _DEVICE,
    errno.ENXIO: _DEVICE,
    errno.ENODEV: _DEVICE,
    # A network file system whose server or mount has gone.
    errno.ESTALE: _DEVICE,
    errno.ETIMEDOUT: _DEVICE,
    errno.EHOSTDOWN: _DEVICE,
    errno.EHOSTUNREACH: _DEVICE,
    errno.ENOTCONN: _DEVICE,
    errno.ECONNABORTED: _DEVICE,
}


def io_error(error: OSError, doing: str) -> TrainingError:
    """Return the error for `cannot {doing}`: 74 for a full disk or a failing device, 73 for everything else."""
    message = f"cannot {doing}: {error.strerror or error}"
    if error.errno in _IO_ERRORS:
        return TrainingError(message, _IO_ERRORS[error.errno], ExitCode.IO_ERROR)
    if error.errno in (errno.EACCES, errno.EPERM):
        groups = ",".join(map(str, sorted({os.getegid(), *os.getgroups()})))
        hint = f"this process is uid {os.geteuid()} in the groups {groups}: see runAsUser and fsGroup in the patch file"
    elif error.errno == errno.EROFS:
        hint = "mount the volume for writing, or choose another folder"
    else:
        hint = "choose another folder"
    return TrainingError(message, hint, ExitCode.CANNOT_CREATE)


def partial_of(path: Path) -> Path:
    """Return the name under which `path` is written before it is renamed."""
    return path.with_name(f".{path.name}{PARTIAL}")


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all, also across a power cut; its mode follows the umask.

    Raises OSError; the file that had the name before is then still there, and nothing is left of the new one.
    """
    partial = partial_of(path)
    try:
        # A new file each time: what a killed run has left may be another user's, or a link to somewhere else.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with open(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do it for folders; their server decides when a name is durable.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)
