"""Mount points below a folder: found and taken away before the folder is removed."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.shell import eventually, run


def below(*folders: Path) -> tuple[str, ...]:
    """Return the mount points below folders, innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")  # proc(5): blanks are octal escapes
        if f"{point}/".startswith(tuple(f"{folder}/" for folder in folders)):
            found.append(point)
    return tuple(reversed(found))


def unmount_below(*folders: Path) -> None:
    """Unmount everything below folders, so that removing them removes nobody else's files.

    Raises:
        ClusterError: If something can't be unmounted.
    """
    for mount in below(*folders):
        run(["umount", mount], check=False)
    for mount in below(*folders):
        run(["umount", "--lazy", mount], check=False)
    if not eventually(lambda: not below(*folders), 10.0):
        left = ", ".join(below(*folders))
        raise ClusterError(f"these can't be unmounted: {left}", "see what uses them with `fuser -vm`")
