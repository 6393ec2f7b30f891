"""The project's images: what each is built from, and when it must be built again."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster import golang, paths
from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SKIPPED_FOLDERS = {"__pycache__", ".git", ".venv"}
_COPY = re.compile(r"^\s*(?:COPY|ADD)\s+(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """An image of `images/`; its name has no registry, which Kubernetes reads as docker.io."""

    name: str
    folder: str
    context: str
    programs: tuple[str, ...] = ()  # built from Go and given to the build as the context `bin`
    bare_arguments: Mapping[str, str] = field(default_factory=dict)  # build arguments on the bare Debian base
    bare_images: Mapping[str, str] = field(default_factory=dict)  # arguments: base images with /usr/bin/PROGRAM

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile's path."""
        return paths.REPOSITORY / "images" / self.folder / "Dockerfile"

    @property
    def context_folder(self) -> Path:
        """The build context's path."""
        return paths.REPOSITORY / self.context

    @property
    def reference(self) -> str:
        """The full name, as a container runtime knows it."""
        return f"docker.io/{self.name}"

    def hash(self, base: str, arguments: Mapping[str, str]) -> str:
        """Return a hash of everything the image is built from.

        Args:
            base: What stands for the base image: its name, or a hash.
            arguments: The build arguments.

        Raises:
            ClusterError: If the Dockerfile or a file that it copies is missing.
        """
        if not self.dockerfile.exists():
            raise ClusterError(f"image {self.name} has no Dockerfile: {self.dockerfile}")
        text = self.dockerfile.read_text()
        digest = hashlib.sha256(repr((base, sorted(arguments.items()))).encode())
        digest.update(text.encode())
        for program in (*self.programs, *self.bare_images.values()):
            digest.update(golang.PROGRAMS[program].hash().encode())
        for source in copied(text):
            for file in _files(self.context_folder, source, self.name):
                mode = "x" if file.stat().st_mode & 0o100 else "-"
                digest.update(f"{file.relative_to(self.context_folder)}\0{mode}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:16]


IMAGES: Mapping[str, Image] = {
    image.folder: image
    for image in (
        Image("runwright/postgresql:17", "postgresql", "images/postgresql"),
        Image("runwright/object-store:minio", "object-store", "images/object-store", programs=("minio",)),
        Image("runwright/mlflow:3.17.2", "mlflow", "images/mlflow"),
        Image("runwright/operator:0.1.0", "operator", ".", bare_images={"HELM": "helm"}),
        Image("runwright/trainer:0.1.0", "trainer", ".", bare_arguments={"TORCH": "debian"}),
    )
}


def copied(dockerfile: str) -> list[str]:
    """Return what a Dockerfile copies from its context, in order; what comes from other stages is left out."""
    found = []
    for arguments in _COPY.findall(dockerfile.replace("\\\n", " ")):
        words = shlex.split(arguments)
        if any(word.startswith("--from=") for word in words):
            continue
        found += [word for word in words if not word.startswith("--")][:-1]
    return found


def _files(context: Path, source: str, image: str) -> list[Path]:
    matches = [context] if source in {".", "./"} else sorted(context.glob(source.strip("/")))
    if not matches:
        raise ClusterError(f"the Dockerfile of {image} copies {source}, which is not in {context}")
    found: list[Path] = []
    for match in matches:
        inside = sorted(match.rglob("*")) if match.is_dir() else [match]
        found += [
            file for file in inside if file.is_file() and not _SKIPPED_FOLDERS & set(file.relative_to(context).parts)
        ]
    return found
