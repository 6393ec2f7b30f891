"""The three parts of a managed stack and the names of what belongs to them."""

from enum import Enum
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.ports import Key, Kind

COMPONENT: Final = "app.kubernetes.io/component"
INSTANCE: Final = "app.kubernetes.io/instance"
NAME: Final = "app.kubernetes.io/name"
DATABASE_PORT: Final = 5432
STORE_PORT: Final = 9000
SERVER_PORT: Final = 5000
BUCKET: Final = "mlflow"
"""Bucket of a stack's own object store."""


class Part(Enum):
    """A part of a stack: (chart, condition, kind of its workload, name for people)."""

    DATABASE = ("postgresql", "DatabaseReady", Kind.STATEFUL_SET, "PostgreSQL")
    STORE = ("object-store", "ObjectStoreReady", Kind.STATEFUL_SET, "the object store")
    SERVER = ("mlflow", "TrackingReady", Kind.DEPLOYMENT, "MLflow")

    @property
    def chart(self) -> str:
        """Name of its chart, and the end of its names."""
        return self.value[0]

    @property
    def condition(self) -> str:
        """Type of the condition that tells whether it works."""
        return self.value[1]

    @property
    def workload(self) -> Kind:
        """Kind of the object that runs its pods."""
        return self.value[2]

    @property
    def title(self) -> str:
        """Name for people."""
        return self.value[3]


def managed(stack: TrackingStack) -> tuple[Part, ...]:
    """The parts that the operator runs for the stack, those first that others need."""
    spec = stack.spec
    if spec.external:
        return ()
    theirs = {
        Part.DATABASE: spec.postgresql is not None and spec.postgresql.external is not None,
        Part.STORE: spec.object_store is not None and spec.object_store.external is not None,
    }
    return tuple(part for part in Part if not theirs.get(part))


def release_name(stack: TrackingStack, part: Part) -> str:
    """Name of the part's release, Service and workload."""
    return f"{stack.metadata.name}-{part.chart}"


def host(stack: TrackingStack, part: Part, cluster_domain: str) -> str:
    """Name by which pods reach the part; certificates must be valid for it."""
    return f"{release_name(stack, part)}.{stack.metadata.namespace}.svc.{cluster_domain}"


def claim_name(stack: TrackingStack, part: Part) -> str:
    """Name of the part's volume claim (a StatefulSet's template ``data``, its first pod)."""
    return f"data-{release_name(stack, part)}-0"


def backup_name(stack: TrackingStack) -> str:
    """Name of the backup's CronJob."""
    return f"{release_name(stack, Part.SERVER)}-backup"


def pod_labels(stack: TrackingStack, part: Part) -> dict[str, str]:
    """Labels by which the part's pods are told; MLflow's release has those of its jobs besides."""
    labels = {INSTANCE: release_name(stack, part)}
    return {**labels, COMPONENT: "server"} if part is Part.SERVER else labels


def key_of(stack: TrackingStack, name: str) -> Key:
    """Key of an object beside the stack."""
    return Key(stack.metadata.namespace, name)
