"""The testbed's functions, for the command line, pytest fixtures and the demo."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import golang, paths, provider
from tests.cluster.errors import ClusterError
from tests.cluster.images import IMAGES
from tests.cluster.shell import replace_file
from tests.cluster.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.cluster.images import Image

_TOOLS = ("kubectl", "helm")


@dataclass(frozen=True)
class Testbed:
    """A running cluster and the tools to talk to it, as written to `build/cluster/cluster.json`."""

    __test__ = False  # not a test class, whatever its name begins with

    provider: str
    kubeconfig: Path
    node: str
    kubectl: Path
    helm: Path


def up(images: Iterable[str] = tuple(IMAGES), steps: Steps | None = None) -> Testbed:
    """Start the cluster with the images of these folders of `images/`, unless it runs; returns when pods can run.

    Raises:
        ClusterError: If it can't, with what would help.
    """
    steps = steps or Steps()
    cluster = open_provider().up(steps, select(images))
    tools = {name: golang.find_or_ensure(name, steps) for name in _TOOLS}
    kubeconfig = paths.BUILD / "kubeconfig"
    replace_file(kubeconfig, cluster.kubeconfig.read_text(), mode=0o600)
    written = {
        "provider": cluster.provider,
        "kubeconfig": str(kubeconfig),
        "bin": {name: str(file) for name, file in tools.items()},
        "node": cluster.node,
    }
    replace_file(paths.BUILD / "cluster.json", json.dumps(written, indent=1))
    return current()


def down(steps: Steps | None = None) -> None:
    """Stop what `up` started; nothing happens if nothing runs."""
    open_provider(running=True).down(steps or Steps())
    for name in ("kubeconfig", "cluster.json"):
        (paths.BUILD / name).unlink(missing_ok=True)


def current() -> Testbed:
    """Return the cluster that the last `up` left.

    Raises:
        ClusterError: If there is none.
    """
    try:
        found = json.loads((paths.BUILD / "cluster.json").read_text())
        tools = {name: Path(found["bin"][name]) for name in _TOOLS}
        return Testbed(found["provider"], Path(found["kubeconfig"]), found["node"], tools["kubectl"], tools["helm"])
    except (OSError, ValueError, KeyError):
        raise ClusterError("no cluster is up", "start one with `make cluster-up`") from None


def open_provider(*, running: bool = False) -> provider.Provider:
    """Return the provider for this machine, or the one that the cluster was started with if it is `running`.

    Raises:
        ClusterError: If none can work here.
    """
    environment = dict(os.environ)
    # The one that `up` says to export is no cluster of the user's own.
    if environment.get("KUBECONFIG") == str(paths.BUILD / "kubeconfig"):
        del environment["KUBECONFIG"]
    if running and environment.get(provider.VARIABLE, "auto") == "auto":
        with contextlib.suppress(ClusterError):
            return provider.open_provider(current().provider)
    return provider.open_provider(provider.choose(environment, provider.inspect_machine()))


def select(names: Iterable[str]) -> Sequence[Image]:
    """Return images by their folder's name.

    Raises:
        ClusterError: If there is no such image.
    """
    wanted = list(names)
    if unknown := sorted(set(wanted) - set(IMAGES)):
        raise ClusterError(f"there is no image {', '.join(unknown)}", f"the images are {', '.join(IMAGES)}")
    return [IMAGES[name] for name in wanted]
