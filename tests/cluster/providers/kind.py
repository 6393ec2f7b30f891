"""kind on Docker: what a laptop has.

Written from the documentation of kind v0.33 and Docker, and never run by its authors, who have no Docker where the
project is tested; the other two providers are run by every test run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import golang, paths
from tests.cluster.errors import ClusterError
from tests.cluster.provider import Cluster
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.images import Image
    from tests.cluster.steps import Steps

CLUSTER = "runwright"
_WAIT = "180s"
_REMEDY = "check that Docker runs (`docker version`) and has room (`docker system df`)"


class KindProvider:
    """A cluster of one node in a Docker container, named `runwright`."""

    name = "kind"

    def up(self, steps: Steps, images: Sequence[Image]) -> Cluster:
        """Create the cluster if there is none, and load the images."""
        kind = golang.find_or_ensure("kind", steps)
        self._kubeconfig().parent.mkdir(parents=True, exist_ok=True)
        if not self._exists(kind):
            with steps.step("kind create cluster"):
                run([kind, "create", "cluster", "--name", CLUSTER, "--wait", _WAIT, "--kubeconfig", self._kubeconfig()],
                    remedy=_REMEDY)  # fmt: skip
        run([kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", self._kubeconfig()])
        self.load(steps, images)
        return Cluster(self.name, self._kubeconfig(), f"{CLUSTER}-control-plane")

    def down(self, steps: Steps) -> None:
        """Delete the cluster."""
        with steps.step("kind delete cluster"):
            run([golang.find_or_ensure("kind", steps), "delete", "cluster", "--name", CLUSTER])
        self._kubeconfig().unlink(missing_ok=True)

    def status(self) -> str:
        """Say whether the cluster exists."""
        try:
            return "up" if self._exists(golang.find_or_ensure("kind")) else "down"
        except ClusterError as error:
            return f"unknown: {error}"

    def build(self, steps: Steps) -> None:
        """Build or find the command-line tools."""
        for name in ("kind", "kubectl", "helm"):
            golang.find_or_ensure(name, steps)

    def images(self, steps: Steps, images: Sequence[Image]) -> None:
        """Build the images; Docker's own cache sees what changed."""
        for image in images:
            options: list[str | Path] = []
            if image.programs:
                programs = paths.images() / f".bin-{image.folder}"
                programs.mkdir(parents=True, exist_ok=True)
                for name, file in golang.ensure(image.programs, steps).items():
                    (programs / name).write_bytes(file.read_bytes())
                    (programs / name).chmod(0o755)
                options = ["--build-context", f"bin={programs}"]
            with steps.step(f"build image {image.name}"):
                run(
                    ["docker", "build", "-t", image.name, "-f", image.dockerfile, *options, image.context_folder],
                    env={"DOCKER_BUILDKIT": "1"},
                    remedy=_REMEDY,
                )

    def load(self, steps: Steps, images: Sequence[Image]) -> None:
        """Build images and load them into the node."""
        self.images(steps, images)
        kind = golang.find_or_ensure("kind", steps)
        for image in images:
            with steps.step(f"load image {image.name}"):
                run([kind, "load", "docker-image", image.name, "--name", CLUSTER], remedy=_REMEDY)

    @staticmethod
    def _exists(kind: Path) -> bool:
        return CLUSTER in run([kind, "get", "clusters"], remedy=_REMEDY).stdout.split()

    @staticmethod
    def _kubeconfig() -> Path:
        return paths.cache() / "kind.kubeconfig"
