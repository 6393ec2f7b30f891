"""Where the testbed keeps things: caches in the user's cache folder, what others read in `build/cluster`."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
GO_MODULES = Path(__file__).resolve().parent / "go"
DEFAULT_NAME = "runwright-testbed"
BUILD = REPOSITORY / "build" / "cluster"


def name() -> str:
    """Return what this node's control group, CNI network, nftables table and runtime folder are called.

    RUNWRIGHT_TESTBED changes it, so that a second node can live beside the first in a network namespace of its own.
    """
    return os.environ.get("RUNWRIGHT_TESTBED") or DEFAULT_NAME


def cache() -> Path:
    """Return `${XDG_CACHE_HOME:-~/.cache}/runwright/testbed`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "runwright" / "testbed"


def binaries() -> Path:
    """Return the folder of built programs; `NAME` in it is a link to `NAME-<hash of what it was built from>`."""
    return cache() / "bin"


def images() -> Path:
    """Return the folder of the base image and of the records of what was built."""
    return cache() / "images"


def state() -> Path:
    """Return the bare node's state folder: keys, logs, pid files, etcd, volumes and containerd's store."""
    return cache() / ("state" if name() == DEFAULT_NAME else f"state-{name()}")


def runtime() -> Path:
    """Return the folder of what lives as long as the machine: containerd's sockets and mounts."""
    return Path("/run") / name()
