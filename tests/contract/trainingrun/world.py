"""A namespace whose pods the test runs by hand: it writes what a kubelet would."""

import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.cluster.controlplane import ControlPlane
from tests.support.installed import NAMESPACE, release
from tests.support.kubectl import wait_for

USER = f"system:serviceaccount:{NAMESPACE}:{release(NAMESPACE)}"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


def now() -> str:
    """The time as the API server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class World:
    """One namespace."""

    control_plane: ControlPlane
    namespace: str

    @classmethod
    def new(cls, control_plane: ControlPlane) -> "World":
        """Make a namespace of the test's own."""
        name = f"c-{uuid.uuid4().hex[:8]}"
        control_plane.client.apply(
            f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
        return cls(control_plane, name)

    def path(self, plural: str, name: str = "") -> str:
        """URL path of a resource in the namespace."""
        group = {
            "trainingruns": "/apis/runwright.dev/v1alpha1",
            "jobs": "/apis/batch/v1",
        }.get(plural, "/api/v1")
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def apply(self, name: str, **spec: Any) -> dict[str, Any]:
        """Apply a TrainingRun."""
        run = {
            "apiVersion": "runwright.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"image": "example/trainer:1", "command": ["python3", "train.py"], **spec},
        }
        return self.control_plane.client.apply(self.path("trainingruns", name), run)

    def objects(self, plural: str) -> list[dict[str, Any]]:
        """Read all objects of a kind."""
        found: list[dict[str, Any]] = self.control_plane.client.request("GET", self.path(plural))["items"]
        return found

    def run(self, name: str) -> dict[str, Any]:
        """Read a TrainingRun."""
        return self.control_plane.client.request("GET", self.path("trainingruns", name))

    def delete(self, plural: str, name: str) -> None:
        """Delete an object."""
        self.control_plane.client.request("DELETE", self.path(plural, name))

    def until(self, name: str, phase: str) -> dict[str, Any]:
        """Wait for a phase; returns the status."""

        def probe() -> dict[str, Any] | None:
            status: dict[str, Any] = self.run(name).get("status", {})
            return status if status.get("phase") == phase else None

        return wait_for(f"{name} {phase}", probe, 60)

    def pods(self, count: int, attempt: int = 1, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait for an attempt's pods, by index."""

        def probe() -> list[dict[str, Any]] | None:
            found = [
                p for p in self.objects("pods") if p["metadata"]["labels"]["runwright.dev/attempt"] == str(attempt)
            ]
            return found if len(found) == count else None

        index = "batch.kubernetes.io/job-completion-index"
        return sorted(wait_for(f"{count} pods", probe, seconds), key=lambda p: int(p["metadata"]["labels"][index]))

    def report(self, pod: dict[str, Any], phase: str, **state: Any) -> None:
        """Write a pod's status as its kubelet would."""
        container = {
            "name": "trainer",
            "image": "example/trainer:1",
            "imageID": "example/trainer@sha256:1",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        }
        status = {"phase": phase, "containerStatuses": [container]}
        if phase == "Running":
            status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": now()}]
        path = self.path("pods", pod["metadata"]["name"]) + "/status"
        self.control_plane.client.request("PATCH", path, {"status": status}, "application/merge-patch+json")

    def start(self, pods: list[dict[str, Any]]) -> None:
        """All containers run."""
        for pod in pods:
            self.report(pod, "Running", running={"startedAt": now()})

    def finish(self, pods: list[dict[str, Any]], exit_code: int = 0, reason: str = "") -> None:
        """All containers end."""
        phase = "Failed" if exit_code else "Succeeded"
        why = reason or ("Error" if exit_code else "Completed")
        for pod in pods:
            ended = {"exitCode": exit_code, "reason": why, "startedAt": now(), "finishedAt": now()}
            self.report(pod, phase, terminated=ended)

    def writes(self) -> Counter[str]:
        """What the operator wrote in this namespace, by verb and resource; refused writes included."""
        found: Counter[str] = Counter()
        for event in self.control_plane.audit_events():
            ref = event.get("objectRef") or {}
            if event["user"]["username"] != USER or event["verb"] not in WRITES:
                continue
            if ref.get("namespace") == self.namespace:
                resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
                found[f"{event['verb']} {resource}"] += 1
        return found

    def settled(self) -> Counter[str]:
        """The writes, once there were no new ones for two seconds."""
        last, since = self.writes(), time.monotonic()
        while time.monotonic() - since < 2:
            time.sleep(0.2)
            current = self.writes()
            if current != last:
                last, since = current, time.monotonic()
        return last
