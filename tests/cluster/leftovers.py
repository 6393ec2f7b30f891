"""What a node leaves behind, and how it is removed: after a clean stop as after a crash.

Everything is recognised by what only this testbed uses: its pid files, its state folder in a command line or a mount
point, its control group, its bridge, its nftables tables. Nothing is found by a program's name alone.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.cluster import cgroups, mounts, network, paths, process

# kubelet makes links to the pods' logs and its folder for device plugins; its configuration has no say in it.
_CONTAINER_LOGS = Path("/var/log/containers")
_KUBELET_FOLDERS = (Path("/var/lib/kubelet/device-plugins"), Path("/var/lib/kubelet"))
# In the order in which they are ended.
_PROGRAMS = (
    "kubelet",
    "provisioner",
    "kube-proxy",
    "coredns",
    "kube-scheduler",
    "kube-controller-manager",
    "containerd",
    "kube-apiserver",
    "etcd",
    "containerd-shim-runc-v2",
)


def node_directory() -> Path:
    """Return the folder of everything that a stop throws away; containerd's image store is beside it."""
    return paths.state() / "node"


def kernel_settings() -> Path:
    """Return the file with the kernel settings as they were before the node started."""
    return paths.state() / "sysctl.json"


def find() -> list[str]:
    """Name what is left of a node, empty if nothing is."""
    found = [f"process {pid}: {' '.join(process.command_line(pid))[:120]}" for pid in processes()]
    found += [f"pod process {pid}" for pid in cgroups.pids()]
    found += [f"mount {mount}" for mount in mounts.below(*_folders())]
    found += cgroups.leftovers() + network.leftovers()
    found += [str(link) for link in _log_links()]
    return found + [str(path) for path in (node_directory(), paths.runtime() / "containerd") if path.exists()]


def processes() -> tuple[int, ...]:
    """Return the node's processes, shims included: its own programs that have its folders in their arguments."""
    ours = (str(node_directory()), str(paths.runtime() / "containerd"))
    return tuple(
        pid
        for pid in process.all_pids()
        if _program(pid) in _PROGRAMS and any(folder in word for word in process.command_line(pid) for folder in ours)
    )


def _folders() -> tuple[Path, ...]:
    return node_directory(), paths.runtime() / "containerd", paths.state() / "containerd"


def remove() -> None:
    """End, unmount and remove everything that is left of a node.

    Raises:
        ClusterError: If something can't be ended or unmounted.
    """
    # First who would start things again, then the API server before its etcd, then the shims, then the pods.
    by_name = {_program(pid): pid for pid in processes()}
    for name in _PROGRAMS:
        if pid := by_name.get(name):
            process.end([pid])
    process.end(processes(), grace=1.0)
    cgroups.remove()
    mounts.unmount_below(*_folders())
    network.remove(kernel_settings())
    for link in _log_links():
        link.unlink(missing_ok=True)
    for folder in (_CONTAINER_LOGS, *_KUBELET_FOLDERS):
        with contextlib.suppress(OSError):  # not there, or not empty: then it is somebody else's too
            folder.rmdir()
    # Safe only now: no mount is left below through which somebody else's files could be removed.
    for folder in (node_directory(), paths.runtime() / "containerd"):
        shutil.rmtree(folder, ignore_errors=True)


def _program(pid: int) -> str:
    """Return the name of the testbed's program that a process runs, empty if it runs another."""
    try:
        file = Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return ""
    return file.name.rpartition("-")[0] if file.parent == paths.binaries().resolve() else ""


def _log_links() -> list[Path]:
    if not _CONTAINER_LOGS.is_dir():
        return []
    ours = str(node_directory())
    return [link for link in _CONTAINER_LOGS.iterdir() if link.is_symlink() and str(link.readlink()).startswith(ours)]
