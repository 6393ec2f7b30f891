"""Room on disk: asked for before a download, and what a failed write means."""

import errno
import os
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.problems import FetchError, Reason

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(count: float) -> str:
    """Write a number of bytes for people: ``17 bytes``, ``3.4 GiB``."""
    if count < 1024:  # noqa: PLR2004  # one KiB
        return f"{count:.0f} bytes"
    for unit in _UNITS:
        count /= 1024
        if count < 1024 or unit == _UNITS[-1]:  # noqa: PLR2004
            return f"{count:.1f} {unit}"
    raise AssertionError  # the last unit returns


def free_bytes(path: Path) -> int | None:
    """Return the room for unprivileged users; None where the file system does not say."""
    told = os.statvfs(path)
    return told.f_bavail * told.f_frsize if told.f_blocks else None


def require_room(path: Path, needed: int, field: str, remedy: str) -> None:
    """Check that there is room.

    Raises:
        FetchError: There is not.
    """
    free = free_bytes(path)
    if free is not None and needed > free:
        message = f"{size_text(needed)} are needed in {path}, {size_text(free)} are free"
        raise FetchError(Reason.DISK_FULL, field, message, remedy)


def describe(error: OSError, field: str, path: Path) -> FetchError:
    """Say what a failed file operation means."""
    if error.errno in _FULL:
        return FetchError(Reason.DISK_FULL, field, f"no room left in {path}", "give the volume or the node more")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        remedy = "check the volume's access mode and spec.fsGroup"
        return FetchError(
            Reason.INTERNAL, field, f"{error.filename or path} can't be written ({error.strerror})", remedy
        )
    return FetchError(Reason.INTERNAL, field, f"{error.filename or path}: {error.strerror or error}")
