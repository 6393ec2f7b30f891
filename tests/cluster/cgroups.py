"""The control groups that the bare node's pods run in: how what runs there is found after a crash."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster import paths
from tests.cluster.process import end
from tests.cluster.shell import eventually

_MOUNT = Path("/sys/fs/cgroup")


def create() -> None:
    """Make the group that kubelet puts its pods below, in every hierarchy (cgroup v1) or the one (v2)."""
    for hierarchy in _hierarchies():
        group = hierarchy / paths.name()
        group.mkdir(exist_ok=True)
        # A cpuset of v1 without CPUs and memory nodes takes no process.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists() and not (group / name).read_text().strip() and (hierarchy / name).exists():
                (group / name).write_text((hierarchy / name).read_text())


def pids() -> tuple[int, ...]:
    """Return the processes in the node's groups: the pods', and nobody else's."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        for file in (hierarchy / paths.name()).rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in file.read_text().split())
            except OSError:  # the group went away in between
                continue
    return tuple(sorted(found))


def remove() -> None:
    """End what still runs in the groups and remove them."""
    end(pids(), grace=1.0)
    for hierarchy in _hierarchies():
        top = hierarchy / paths.name()
        eventually(lambda top=top: _remove_tree(top), 10.0)  # type: ignore[misc]  # a group is busy for a moment after its last process


def leftovers() -> list[str]:
    """Name the groups that are there."""
    return [str(hierarchy / paths.name()) for hierarchy in _hierarchies() if (hierarchy / paths.name()).exists()]


def _remove_tree(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return not top.exists()


def _hierarchies() -> list[Path]:
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    if not _MOUNT.is_dir():
        return []
    # Several v1 controllers may share a hierarchy under two names; links are left out.
    return [path for path in sorted(_MOUNT.iterdir()) if path.is_dir() and not path.is_symlink()]
