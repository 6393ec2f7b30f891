"""Every right the operator needs, in one place.

The start-up check asks for each, the chart grants exactly these, docs/guide/rights.md lists them
(``python -m tools.rights``), and tests take them away one by one to see that each is needed.
"""

from dataclasses import dataclass, field
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
    purpose: str = field(default="", compare=False)
    """What it is for; for people."""

    @property
    def what(self) -> str:
        """``pods/log``, ``jobs.batch``: the resource as kubectl writes it."""
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{what}.{self.group}" if self.group else what

    def __str__(self) -> str:
        return f"{','.join(self.verbs)} {self.what}" + (f" named {self.name}" if self.name else "")


NAMESPACED: Final = (
    Right(GROUP, "trainingruns", ("get", "list", "watch"), purpose="what to train"),
    Right(GROUP, "trainingruns", ("patch",), subresource="status", purpose="what became of it"),
    Right(GROUP, "trainingruns", ("delete",), purpose="those whose `ttlSecondsAfterFinished` is over"),
    Right(GROUP, "trackingstacks", ("get", "list", "watch"), purpose="where to track"),
    Right(GROUP, "trackingstacks", ("patch",), subresource="status", purpose="whether it is ready"),
    Right("batch", "jobs", ("get", "list", "watch"), purpose="how an attempt goes"),
    Right(
        "batch",
        "jobs",
        ("create", "delete"),
        purpose="an attempt is a Job; the deadline and the TTL delete it, and what came too late of one that is over",
    ),
    Right(
        "",
        "pods",
        ("get", "list", "watch"),
        purpose="why a pod waits or failed; made by the Job, so no create",
    ),
    Right("", "pods", ("patch",), purpose="the annotation that raises the stop file"),
    Right("", "pods", ("get",), subresource="log", purpose="the last lines of a failure; logs as artifacts"),
    Right(
        "",
        "services",
        ("get", "create"),
        purpose="how several nodes find each other; deleted with the TrainingRun, by its owner reference",
    ),
    Right(
        "",
        "configmaps",
        ("get", "create"),
        purpose="reads `source.configMap`; the code as the first attempt saw it; deleted likewise",
    ),
    Right("", "persistentvolumeclaims", ("get", "create"), purpose="`checkpoint.size`; deleted likewise"),
    Right("kueue.x-k8s.io", "workloads", ("list",), purpose="why a queue holds a Job back, where one is named"),
    Right("", "events", ("create",), purpose="news on the TrainingRun and the TrackingStack"),
)
"""In every watched namespace."""

STACKS: Final = (
    Right(
        "",
        "secrets",
        ("get", "create", "patch"),
        purpose="passwords, made once; those that a TrackingStack names; the owner that `deletionPolicy: Delete` "
        "gives them. Never a list",
    ),
    Right(
        "",
        "configmaps",
        ("get", "list", "create", "patch", "update", "delete"),
        purpose="Helm's records of its releases (HELM_DRIVER=configmap) and the charts' configuration",
    ),
    Right("", "services", ("get", "create", "patch"), purpose="made and repaired by Helm, as what follows"),
    Right(
        "apps",
        "statefulsets",
        ("get", "create", "patch", "delete"),
        purpose="PostgreSQL and the object store; one whose volume grew is made anew around its pod",
    ),
    Right("apps", "deployments", ("get", "create", "patch"), purpose="MLflow"),
    Right("batch", "cronjobs", ("get", "create", "patch", "delete"), purpose="backups and `mlflow gc`"),
    Right("networking.k8s.io", "networkpolicies", ("get", "create", "patch", "delete"), purpose="who reaches a part"),
    Right("networking.k8s.io", "ingresses", ("get", "create", "patch", "delete"), purpose="`server.ingress`"),
    Right("", "persistentvolumeclaims", ("get", "patch"), purpose="volumes that grow"),
    Right("batch", "jobs", ("get",), purpose="why a backup failed"),
    Right(
        "",
        "pods",
        ("get", "list", "delete"),
        purpose="why a part is not ready; a StatefulSet never replaces a pod that cannot start",
    ),
    Right("", "events", ("create",), purpose="news on the TrackingStack"),
)
"""In every namespace where TrackingStacks are made."""

DEFAULT_STACK: Final = (
    Right(GROUP, "trackingstacks", ("get", "list"), purpose="where to track"),
    Right(GROUP, "trackingstacks", ("patch",), subresource="status", purpose="whether it is ready"),
)
"""In the default stack's namespace, where it is not one of the watched."""

MAKE_DEFAULT_STACK: Final = Right(
    GROUP, "trackingstacks", ("create", "patch"), purpose="keeps it as `defaultStack.spec` says"
)
"""On the default stack alone, where the chart makes it (its name is filled in)."""

READ_DEFAULT_STACK: Final = Right("", "configmaps", ("get",), purpose="whose the default stack is")
"""On the ConfigMap with the default stack's manifest alone (its name is filled in)."""

LEASE: Final = Right(
    "coordination.k8s.io", "leases", ("get", "create", "update"), purpose="one operator works at a time"
)
"""In the operator's own namespace."""

CLUSTER_ID: Final = Right(
    "",
    "namespaces",
    ("get",),
    name="kube-system",
    purpose="its uid names this cluster on a tracking server that several use",
)
"""Cluster-wide: its uid is the cluster's identity on a shared tracking server."""
