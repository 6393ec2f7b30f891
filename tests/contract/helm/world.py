"""A namespace with an owner of releases, the rights that the operator has in it, and its objects as they are."""

import os
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from runwright.helm.process import Helm
from runwright.helm.records import Record
from runwright.helm.releases import HelmReleases
from runwright.kube.client import Client
from runwright.ports import Json, Key, WantedRelease
from tests.charts import helm
from tests.cluster.apiclient import ApiClient
from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.support.api_proxy import WRITES, cut
from tests.support.until import until

CHARTS = Path(helm.CHARTS)
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
}
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"


@dataclass(frozen=True)
class World:
    """One namespace of an API server."""

    control_plane: ControlPlane
    namespace: str
    kubeconfig: Path
    """Acts as the operator's ServiceAccount."""

    @classmethod
    def new(cls, control_plane: ControlPlane, rules: list[dict[str, Any]]) -> "World":
        """Make a namespace of the test's own, with a ServiceAccount that has these rights in it."""
        namespace = f"h-{uuid.uuid4().hex[:8]}"
        kubeconfig = control_plane.kubeconfig_for_service_account(namespace, "operator")
        world = cls(control_plane, namespace, kubeconfig)
        world.grant(rules)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
        subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
        body = {"kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
        world._rbac("rolebindings", body)
        return world

    def grant(self, rules: list[dict[str, Any]]) -> None:
        """Set the ServiceAccount's rights."""
        self._rbac("roles", {"kind": "Role", "rules": rules})

    def _rbac(self, plural: str, body: dict[str, Any]) -> None:
        full = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "operator"}, **body}
        self.admin.apply(f"{RBAC.format(self.namespace)}/{plural}/operator", full)

    @property
    def admin(self) -> ApiClient:
        """The administrator."""
        return self.control_plane.client

    def owner(self, name: str = "stack") -> Json:
        """The reference to an owner of releases, made if it does not exist: a ConfigMap, since any object can be."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        made = self.admin.apply(self.path("ConfigMap", name), body)
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}

    def wanted(
        self, chart: str = "postgresql", values: Mapping[str, Any] | None = None, owner: Json | None = None
    ) -> WantedRelease:
        """A release ``s-CHART``, as the reconciler asks for it."""
        name, owner = f"s-{chart}", owner or self.owner()
        own = {"fullnameOverride": name, "owner": dict(owner)}
        return WantedRelease(Key(self.namespace, name), chart, {**own, **(values or {})}, owner)

    def path(self, kind: str, name: str = "") -> str:
        """URL path of a kind or of one object."""
        return PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none."""
        try:
            return self.admin.request("GET", self.path(kind, name))
        except ClusterError as error:
            if ": 404: " not in str(error):
                raise
            return None

    def records(self, name: str = "s-postgresql") -> list[Record]:
        """Helm's records, oldest first."""
        selector = quote(f"owner=helm,name={name}")
        found = self.admin.request("GET", f"{self.path('ConfigMap')}?labelSelector={selector}")["items"]
        return sorted((Record(one) for one in found), key=lambda record: record.revision)

    def uids(self) -> dict[tuple[str, str], str]:
        """The uid of everything in the namespace that a chart made, or a volume."""
        found = {}
        for kind in PATHS:
            for obj in self.admin.request("GET", self.path(kind))["items"]:
                if obj["metadata"].get("labels", {}).get("app.kubernetes.io/instance"):
                    found[kind, obj["metadata"]["name"]] = obj["metadata"]["uid"]
        return found

    def versions(self) -> dict[tuple[str, str], str]:
        """What tells whether helm changed an object: its resourceVersion, or its generation where a status changes.

        NetworkPolicies are left out: a chart's empty `egress` is stored as none, and differs from it at each apply.
        """
        found = {}
        for kind in ("ConfigMap", "Service"):
            for obj in self.admin.request("GET", self.path(kind))["items"]:
                if obj["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "Helm":
                    found[kind, obj["metadata"]["name"]] = obj["metadata"]["resourceVersion"]
        for kind in ("StatefulSet", "Deployment"):
            for obj in self.admin.request("GET", self.path(kind))["items"]:
                found[kind, obj["metadata"]["name"]] = str(obj["metadata"]["generation"])
        return found

    def merge(self, kind: str, name: str, change: dict[str, Any], manager: str = "kubectl-edit") -> dict[str, Any]:
        """Edit an object as somebody else."""
        where = f"{self.path(kind, name)}?fieldManager={manager}"
        return self.admin.request("PATCH", where, change, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str, propagation: str = "Background") -> None:
        """Delete an object."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        self.admin.request("DELETE", self.path(kind, name), options)


def releases(client: Client, charts: Path = CHARTS, **options: Any) -> HelmReleases:
    """The adapter, as the operator makes it."""
    may_write = options.pop("may_write", lambda: True)
    return HelmReleases(
        client, Helm(helm.binary(), client.connection.kubeconfig, **options), charts, may_write=may_write
    )


def helms(parent: int | None = None) -> list[int]:
    """The helm processes that this process, or `parent`, started and that still are."""
    processes = Path("/proc").glob("[0-9]*")
    return [int(folder.name) for folder in processes if is_helm_of(folder, parent or os.getpid())]


def is_helm_of(folder: Path, parent: int) -> bool:
    """Tell whether /proc/PID is a helm with this parent."""
    try:
        program = (folder / "cmdline").read_bytes().split(b"\0")[0]
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return Path(program.decode()).name.startswith("helm") and int(fields[1]) == parent and fields[0] != "Z"


class Killer:
    """Kills helm with SIGKILL at its n-th write: a rule's `before` of the proxy.

    Args:
        at: Which write, from 1.
        carried_out: Whether the API server gets that write nevertheless.
    """

    def __init__(self, at: int, *, carried_out: bool) -> None:
        self.at = at
        self.carried_out = carried_out
        self.count = 0
        self.killed = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.method not in WRITES or "dryRun" in request.query or not is_helms(request):
            return None
        self.count += 1
        if self.count != self.at:
            return None
        for pid in helms():
            os.kill(pid, signal.SIGKILL)
            self.killed += 1
        await until(lambda: not helms(), "the killed helm is gone")
        return None if self.carried_out else await cut(request)


def is_helms(request: web.Request) -> bool:
    """Tell whether helm sent a request, and not the operator itself."""
    return request.headers.get("User-Agent", "").startswith("Helm/")
