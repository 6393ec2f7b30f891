"""What a way to a cluster offers, and how one is chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.cluster.images import Image
    from tests.cluster.steps import Steps

CHOICES = ("auto", "kubeconfig", "kind", "bare")
VARIABLE = "RUNWRIGHT_CLUSTER"


@dataclass(frozen=True)
class Cluster:
    """A running cluster: an administrator's kubeconfig and the name of a node."""

    provider: str
    kubeconfig: Path
    node: str


class Provider(Protocol):
    """One way to a cluster."""

    name: str

    def up(self, steps: Steps, images: Sequence[Image], /) -> Cluster:
        """Start the cluster if it does not run, with the images on its nodes; raise ClusterError if it can't."""

    def down(self, steps: Steps, /) -> None:
        """Stop what `up` started and leave nothing of it."""

    def status(self) -> str:
        """Say in a line whether the cluster runs."""

    def build(self, steps: Steps, /) -> None:
        """Build the programs that the cluster is made of."""

    def images(self, steps: Steps, images: Sequence[Image], /) -> None:
        """Build the images whose inputs changed."""

    def load(self, steps: Steps, images: Sequence[Image], /) -> None:
        """Build images and bring them to the nodes of the running cluster."""


@dataclass(frozen=True)
class Machine:
    """What decides which providers can work here."""

    system: str
    root: bool
    go: bool
    docker: bool
    kind: bool


def choose(environment: Mapping[str, str], machine: Machine) -> str:
    """Return the provider's name: the one that `RUNWRIGHT_CLUSTER` names, or the first that can work.

    Raises:
        ClusterError: If the variable is wrong, or nothing can work here; it then says what each provider misses.
    """
    asked = environment.get(VARIABLE) or "auto"
    if asked not in CHOICES:
        raise ClusterError(
            f"{VARIABLE}={asked} is none of {', '.join(CHOICES)}", f"unset {VARIABLE}, or set one of them"
        )
    reasons = {
        "kubeconfig": "" if environment.get("KUBECONFIG") else "KUBECONFIG is not set",
        "kind": _why_not_kind(machine),
        "bare": _why_not_bare(machine),
    }
    candidates = list(reasons) if asked == "auto" else [asked]
    for name in candidates:
        if not reasons[name]:
            return name
    listed = "\n".join(f"  {name}: {reasons[name]}" for name in candidates)
    raise ClusterError(
        f"no cluster can be had here ({VARIABLE}={asked}):\n{listed}",
        "any one of: set KUBECONFIG to the file of a cluster that you may use for tests; start Docker (and "
        "install kind or Go); or run as root on Linux with Go 1.26",
    )


def _why_not_kind(machine: Machine) -> str:
    if not machine.docker:
        return "Docker can't be reached (`docker version` fails)"
    return "" if machine.kind or machine.go else "kind is not on PATH, and there is no Go to build it"


def _why_not_bare(machine: Machine) -> str:
    missing = [
        reason
        for reason, wrong in (
            (f"it needs Linux, this is {machine.system}", machine.system != "Linux"),
            ("it needs root (namespaces, control groups, mounts)", not machine.root),
            ("there is no `go` on PATH to build Kubernetes", not machine.go),
        )
        if wrong
    ]
    return "; ".join(missing)


def inspect_machine() -> Machine:
    """Look at this machine."""
    import platform  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    from tests.cluster import golang  # noqa: PLC0415
    from tests.cluster.shell import run  # noqa: PLC0415

    try:
        docker = run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=10).returncode == 0
    except ClusterError:
        docker = False
    return Machine(
        system=platform.system(),
        root=os.geteuid() == 0,
        go=golang.available(),
        docker=docker,
        kind=shutil.which("kind") is not None,
    )


def open_provider(name: str) -> Provider:
    """Return the provider of that name."""
    from tests.cluster.providers import bare, kind, kubeconfig  # noqa: PLC0415

    providers: dict[str, Provider] = {
        "kubeconfig": kubeconfig.KubeconfigProvider(os.environ.get("KUBECONFIG", "")),
        "kind": kind.KindProvider(),
        "bare": bare.BareProvider(),
    }
    return providers[name]
