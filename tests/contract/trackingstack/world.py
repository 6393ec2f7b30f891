"""A namespace whose pods and volumes the test looks after by hand: it writes what a kubelet and a provisioner would."""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.contract.trainingrun.world import USER, WRITES, now
from tests.support.installed import NAMESPACE, grant
from tests.support.kubectl import wait_for

NAME: Final = "a"
GROUPS: Final = {
    "trackingstacks": "/apis/runwright.dev/v1alpha1",
    "statefulsets": "/apis/apps/v1",
    "deployments": "/apis/apps/v1",
    "cronjobs": "/apis/batch/v1",
    "jobs": "/apis/batch/v1",
}
MERGE: Final = "application/merge-patch+json"
SECONDS: Final = 90.0


def _storage_class(name: str, *, grows: bool) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": grows,
    }


CLASSES: Final = (_storage_class("grows", grows=True), _storage_class("fixed", grows=False))


@dataclass(frozen=True)
class StackWorld:
    """One namespace with one stack."""

    control_plane: ControlPlane
    namespace: str

    @classmethod
    def new(cls, control_plane: ControlPlane) -> "StackWorld":
        """Make a namespace of the test's own."""
        name = f"s-{uuid.uuid4().hex[:8]}"
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        control_plane.client.apply(f"/api/v1/namespaces/{name}", manifest)
        return cls(control_plane, name)

    def grant(self) -> None:
        """Let the operator make stacks here, as the chart does."""
        grant(self.control_plane, NAMESPACE, [], {"stackNamespaces": [self.namespace]})

    # ------------------------------------------------------------------------------------------------ objects

    def path(self, plural: str, name: str = "") -> str:
        """URL path of a resource in the namespace."""
        return f"{GROUPS.get(plural, '/api/v1')}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def apply(self, **spec: Any) -> dict[str, Any]:
        """Apply the stack."""
        return self.control_plane.client.apply(
            self.path("trackingstacks", NAME),
            {
                "apiVersion": "runwright.dev/v1alpha1",
                "kind": "TrackingStack",
                "metadata": {"name": NAME, "namespace": self.namespace},
                "spec": spec,
            },
        )

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        """Read an object; None when absent."""
        try:
            return self.control_plane.client.request("GET", self.path(plural, name))
        except ClusterError as error:
            if ": 404: " in str(error):
                return None
            raise

    def all(self, plural: str) -> list[dict[str, Any]]:
        """Read all objects of a kind."""
        found: list[dict[str, Any]] = self.control_plane.client.request("GET", self.path(plural))["items"]
        return found

    def names(self, plural: str) -> set[str]:
        """Names of all objects of a kind."""
        return {obj["metadata"]["name"] for obj in self.all(plural)}

    def patch(self, plural: str, name: str, change: dict[str, Any], subresource: str = "") -> None:
        """Merge-patch an object."""
        self.control_plane.client.request("PATCH", self.path(plural, name) + subresource, change, MERGE)

    def delete(self, plural: str, name: str, propagation: str = "Background") -> None:
        """Delete an object."""
        self.control_plane.client.request("DELETE", f"{self.path(plural, name)}?propagationPolicy={propagation}")

    def until(self, what: str, probe: Callable[[], Any]) -> Any:
        """Wait for something true."""
        return wait_for(what, probe, SECONDS)

    # ------------------------------------------------------------------------------------------------ stack

    @property
    def status(self) -> dict[str, Any]:
        """Status of the stack."""
        stack = self.get("trackingstacks", NAME)
        found: dict[str, Any] = (stack or {}).get("status") or {}
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the stack; empty while it has none."""
        found = self.status.get("conditions") or ()
        return next((c for c in found if c["type"] == kind), {})

    def until_says(self, kind: str, status: str, reason: str) -> dict[str, Any]:
        """Wait for a condition; returns it."""

        def probe() -> dict[str, Any] | None:
            found = self.condition(kind)
            return found if (found.get("status"), found.get("reason")) == (status, reason) else None

        return dict(self.until(f"{kind} {status} {reason}", probe))

    def releases(self) -> dict[str, tuple[int, str]]:
        """Revision and state of each release, as the status tells them."""
        return {r["name"]: (r["revision"], r["state"]) for r in self.status.get("releases") or ()}

    # ------------------------------------------------------------------------------------------------ pods, volumes

    def pod(self, instance: str, old: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Wait for the pod of a release that is not being deleted, nor one of the `old` uids."""

        def probe() -> dict[str, Any] | None:
            found = [p for p in self.all("pods") if p["metadata"]["labels"]["app.kubernetes.io/instance"] == instance]
            metas = ((p["metadata"], p) for p in found)
            return next((p for meta, p in metas if "deletionTimestamp" not in meta and meta["uid"] not in old), None)

        return dict(self.until(f"a pod of {instance}", probe))

    def start(self, instance: str, old: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Let the pod of a release run and be ready."""
        pod = self.pod(instance, old)
        name = pod["spec"]["containers"][0]["name"]
        running = {
            "name": name,
            "image": "i",
            "imageID": "i@sha256:1",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now()}},
        }
        self.report(pod, phase="Running", ready=True, containerStatuses=[running])
        return pod

    def wait_in(self, pod: dict[str, Any], reason: str, message: str) -> None:
        """Let a pod wait for a reason."""
        waiting = {
            "name": pod["spec"]["containers"][0]["name"],
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        }
        self.report(pod, phase="Pending", ready=False, containerStatuses=[waiting])

    def report(self, pod: dict[str, Any], *, phase: str, ready: bool, **status: Any) -> None:
        """Write a pod's status."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
        change = {"status": {"phase": phase, "conditions": [condition], **status}}
        self.patch("pods", pod["metadata"]["name"], change, "/status")

    def provide(self, claim: str, storage_class: str, size: str) -> None:
        """Make a volume for a claim and wait until the two are bound."""
        name = f"{self.namespace}-{claim}"
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": storage_class,
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"namespace": self.namespace, "name": claim},
            },
        }
        self.control_plane.client.apply(f"/api/v1/persistentvolumes/{name}", volume)

        def bound() -> bool:
            found = self.get("persistentvolumeclaims", claim)
            return found is not None and found["status"].get("phase") == "Bound"

        self.until(f"{claim} bound", bound)

    def writes(self) -> Counter[str]:
        """What the operator and its helm wrote in this namespace, by verb and resource."""
        found: Counter[str] = Counter()
        for event in self.control_plane.audit_events():
            ref = event.get("objectRef") or {}
            if event["user"]["username"] == USER and event["verb"] in WRITES and ref.get("namespace") == self.namespace:
                if "dryRun" in event["requestURI"]:
                    continue
                resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
                found[f"{event['verb']} {resource}"] += 1
        return found
