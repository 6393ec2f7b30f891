"""Every right the operator needs, in one place: the start-up check asks for each, and the chart grants them."""

from dataclasses import dataclass
from typing import Final

from runwright.names import GROUP


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource of an API group; ``subresource`` and ``name`` narrow it."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        if self.group:
            what += f".{self.group}"
        return f"{','.join(self.verbs)} {what}" + (f" named {self.name}" if self.name else "")


NAMESPACED: Final = (
    Right(GROUP, "trainingruns", ("get", "list", "watch")),
    Right(GROUP, "trainingruns", ("patch",), subresource="status"),
    Right(GROUP, "trackingstacks", ("get", "list", "watch")),
    Right(GROUP, "trackingstacks", ("patch",), subresource="status"),
    Right("batch", "jobs", ("get", "list", "watch", "create", "delete")),
    Right("", "pods", ("get", "list", "watch")),
    Right("", "pods", ("get",), subresource="log"),
    Right("", "services", ("get", "create")),
    Right("", "configmaps", ("get", "create")),
    Right("", "events", ("create",)),
)
"""In every watched namespace."""

DEFAULT_STACK: Final = (
    Right(GROUP, "trackingstacks", ("list",)),
    Right(GROUP, "trackingstacks", ("patch",), subresource="status"),
)
"""In the default stack's namespace, where it is not one of the watched."""

LEASE: Final = Right("coordination.k8s.io", "leases", ("get", "create", "update"))
"""In the operator's own namespace."""

CLUSTER_ID: Final = Right("", "namespaces", ("get",), name="kube-system")
"""Cluster-wide: its uid is the cluster's identity on a shared tracking server."""
