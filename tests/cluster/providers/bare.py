"""A node made of processes on this machine: Linux, root, Go; no Docker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import buildah, golang, hostpackages, leftovers, node, paths
from tests.cluster.errors import ClusterError
from tests.cluster.provider import Cluster
from tests.cluster.shell import exclusive
from tests.cluster.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.images import Image


class BareProvider:
    """One node, one per machine; the API server listens on port 6443."""

    name = "bare"

    def up(self, steps: Steps, images: Sequence[Image]) -> Cluster:
        """Start the node, or bring the images of the running one up to date."""
        with exclusive(_lock()):
            hostpackages.install(steps)
            found = node.open_node(steps)
            built = (buildah.ensure_pause(steps), *buildah.ensure(images, steps))
            if found.healthy():
                found.load(built, steps)
            else:
                if leftovers.find():
                    with steps.step("clean up after an unclean stop"):
                        leftovers.remove()
                found.start(steps, built)
            return Cluster(self.name, found.control_plane.kubeconfig, node.NAME)

    def down(self, steps: Steps) -> None:
        """Stop the node; keep the built programs and images and containerd's image store."""
        with exclusive(_lock()):
            if not leftovers.find():
                return
            if all(golang.PROGRAMS[name].file().exists() for name in node.PROGRAMS):
                node.open_node(steps).stop(steps)
            with steps.step("clean up"):
                leftovers.remove()
            if found := leftovers.find():
                raise ClusterError("the node is stopped, but this is left:\n  " + "\n  ".join(found))

    def status(self) -> str:
        """Say whether the node runs, or what is left of it."""
        if all(golang.PROGRAMS[name].file().exists() for name in node.PROGRAMS):
            found = node.open_node(Steps())
            if found.healthy():
                return f"up: node {node.NAME}, {found.control_plane.admin_url}"
        left = leftovers.find()
        return "down" if not left else "down, not cleanly; `up` and `down` clean up:\n  " + "\n  ".join(left)

    def build(self, steps: Steps) -> None:
        """Build every program."""
        node.open_node(steps)
        golang.ensure(("helm", "minio"), steps)

    def images(self, steps: Steps, images: Sequence[Image]) -> None:
        """Build the images whose inputs changed."""
        with exclusive(_lock()):
            hostpackages.install(steps)
            buildah.ensure(images, steps)

    def load(self, steps: Steps, images: Sequence[Image]) -> None:
        """Build images and bring them into the running node's store."""
        with exclusive(_lock()):
            found = node.open_node(steps)
            if not found.healthy():
                raise ClusterError("the node does not run", "start it with `python -m tests.cluster up`")
            found.load(buildah.ensure(images, steps), steps)


def _lock() -> Path:
    return paths.state().with_suffix(".lock")
