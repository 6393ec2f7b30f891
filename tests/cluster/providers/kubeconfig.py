"""A cluster that the user has: nothing is started or stopped, and its nodes get no images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import golang
from tests.cluster.errors import ClusterError
from tests.cluster.provider import Cluster
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.images import Image
    from tests.cluster.steps import Steps


class KubeconfigProvider:
    """The cluster of `KUBECONFIG`; its nodes must be able to pull the project's images from a registry."""

    name = "kubeconfig"

    def __init__(self, files: str) -> None:
        """Take the value of KUBECONFIG; of several files the first that exists is used."""
        self._files = files

    def up(self, steps: Steps, images: Sequence[Image]) -> Cluster:
        """Check that the cluster answers."""
        file = self._file()
        with steps.step("ask the cluster for its nodes"):
            nodes = json.loads(self._kubectl("get", "nodes", "-o", "json"))["items"]
        if not nodes:
            raise ClusterError(f"the cluster of {file} has no nodes", "use a cluster that can run pods")
        names = ", ".join(image.name for image in images)
        print(f"this cluster's nodes must find these images in a registry or have them already: {names}")
        return Cluster(self.name, file, nodes[0]["metadata"]["name"])

    def down(self, _steps: Steps) -> None:
        """Leave the user's cluster as it is."""
        print("KUBECONFIG names this cluster, so it is left as it is")

    def status(self) -> str:
        """Say whether the cluster answers."""
        try:
            self._kubectl("get", "--raw", "/readyz")
        except ClusterError as error:
            return f"unreachable: {error}"
        return f"up: {self._file()}"

    def build(self, steps: Steps) -> None:
        """Build the command-line tools."""
        for name in ("kubectl", "helm"):
            golang.find_or_ensure(name, steps)

    def images(self, _steps: Steps, _images: Sequence[Image]) -> None:
        """Say that the images are the user's business."""
        raise ClusterError(
            "images for the cluster of KUBECONFIG come from a registry", "build and push images/*/Dockerfile"
        )

    def load(self, steps: Steps, images: Sequence[Image]) -> None:
        """Say that the images are the user's business."""
        self.images(steps, images)

    def _file(self) -> Path:
        for name in self._files.split(os.pathsep):
            if name and Path(name).is_file():
                return Path(name)
        raise ClusterError(f"KUBECONFIG={self._files} names no file that exists", "set it to a kubeconfig file")

    def _kubectl(self, *words: str) -> str:
        kubectl = golang.find_or_ensure("kubectl")
        return run([kubectl, "--kubeconfig", self._file(), "--request-timeout=10s", *words]).stdout
