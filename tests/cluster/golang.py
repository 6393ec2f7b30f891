"""Programs built from Go modules pinned by the go.mod and go.sum files in `go/`.

A program is cached as `bin/NAME-<hash>`, the hash taken over everything it is built from; the file appears under that
name only when it is complete. `bin/NAME` links to the current one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.shell import exclusive, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cluster.steps import Steps

KUBERNETES_VERSION = "v1.36.3"
_GO_REMEDY = "install Go 1.26 or later (https://go.dev/doc/install) and have `go` on PATH"


@dataclass(frozen=True)
class Program:
    """A main package of one of the pinned modules."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"

    @property
    def source(self) -> Path:
        """The folder with the go.mod that pins it."""
        return paths.GO_MODULES / self.module

    def hash(self) -> str:
        """Return a hash of what the program is built from."""
        digest = hashlib.sha256(repr((self.package, self.ldflags, "CGO_ENABLED=0 -trimpath")).encode())
        for file in sorted(self.source.iterdir()):
            if file.name in {"go.mod", "go.sum"} or file.suffix == ".go":
                digest.update(f"{file.name}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:12]

    def file(self) -> Path:
        """Return where the program is, or will be, cached."""
        return paths.binaries() / f"{self.name}-{self.hash()}"


# Without these kubectl and the servers call themselves v0.0.0; k8s.io/kubernetes sets them in hack/lib/version.sh.
_KUBERNETES_LDFLAGS = " ".join(
    ["-s -w"]
    + [
        f"-X {package}.{variable}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable, value in (("gitVersion", KUBERNETES_VERSION), ("gitMajor", "1"), ("gitMinor", "36"))
    ]
)
_KUBERNETES = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")

PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
        Program("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
        *(Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_LDFLAGS) for name in _KUBERNETES),
        *(Program(name, "containerd", f"github.com/containerd/containerd/v2/cmd/{name}") for name in _CONTAINERD),
        Program("coredns", "coredns", "github.com/coredns/coredns"),
        Program("minio", "minio", "github.com/minio/minio"),
        Program("provisioner", "provisioner", "."),
        Program("pause", "pause", "."),
        Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("kind", "kind", "sigs.k8s.io/kind"),
    )
}


def ensure(names: Iterable[str], steps: Steps | None = None) -> dict[str, Path]:
    """Build what is not built yet and return the programs' files by name.

    Raises:
        ClusterError: If there is no Go, or a build fails.
    """
    wanted = [PROGRAMS[name] for name in names]
    if not all(program.file().exists() for program in wanted):
        with exclusive(paths.cache() / "go.lock"):
            for program in wanted:
                if not program.file().exists():
                    with steps.step(f"build {program.name}") if steps else nullcontext():
                        _build(program)
    for program in wanted:
        _link(program)
    return {program.name: program.file() for program in wanted}


def available() -> bool:
    """Tell whether programs can be built here."""
    return shutil.which("go") is not None


def find_or_ensure(name: str, steps: Steps | None = None) -> Path:
    """Return a program as pinned here if there is Go, else the one on PATH.

    Raises:
        ClusterError: If there is neither.
    """
    if available() or PROGRAMS[name].file().exists():
        return ensure([name], steps)[name]
    if found := shutil.which(name):
        return Path(found)
    raise ClusterError(f"{name} is not installed", f"install {name}, or {_GO_REMEDY}")


def _build(program: Program) -> None:
    file = program.file()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    nice = ["nice", "-n", "5"] if shutil.which("nice") else []
    flags = ["-buildvcs=false", "-trimpath", "-ldflags", program.ldflags]
    try:
        run(
            [*nice, "go", "build", *flags, "-o", temporary, program.package],
            cwd=program.source,
            env={"CGO_ENABLED": "0"},
            remedy=_GO_REMEDY if not available() else "look at the Go errors above; `go env GOPROXY` must be reachable",
        )
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _link(program: Program) -> None:
    link = paths.binaries() / program.name
    if link.is_symlink() and link.readlink().name == program.file().name:
        return
    temporary = link.with_name(f".{link.name}.link.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(program.file().name)
    temporary.replace(link)
