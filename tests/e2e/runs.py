"""Applying TrainingRuns and waiting for what their status says."""

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.kubectl import Kubectl, wait_for

IMAGE = "runwright/trainer:0.1.0"
TERMINAL = ("Succeeded", "Failed", "Cancelled")


def manifest(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """Write a TrainingRun whose code is `script`, on the trainer image."""
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": {
            "source": {"inline": {"files": {"train.py": textwrap.dedent(script)}}},
            "image": IMAGE,
            "command": ["python3", "train.py"],
            "terminationGracePeriodSeconds": 5,
            "resourcesPerNode": {"cpu": "100m", "memory": "512Mi"},
            **spec,
        },
    }


@dataclass(frozen=True)
class Runs:
    """The TrainingRuns of one namespace."""

    kubectl: Kubectl
    namespace: str

    def apply(self, *objects: Any) -> str:
        """Apply manifests into the namespace, as ``kubectl apply -f`` does."""
        text = "\n---\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects)
        return self.kubectl.run("-n", self.namespace, "apply", "-f", "-", stdin=text).stdout

    def status(self, name: str) -> dict[str, Any]:
        """Status of a run; empty when it is not there."""
        found = self.kubectl.get("trun", name, self.namespace) or {}
        status: dict[str, Any] = found.get("status", {})
        return status

    def until(self, name: str, holds: Callable[[dict[str, Any]], Any], timeout: float = 300) -> dict[str, Any]:
        """Wait until the status satisfies `holds`; fails early when the run ended otherwise."""

        def probe() -> dict[str, Any] | None:
            status = self.status(name)
            if holds(status):
                return status
            if status.get("phase") in TERMINAL and "completionTime" in status:
                again = self.status(name)  # a record may follow the end
                if holds(again):
                    return again
            return None

        try:
            return wait_for(f"TrainingRun {name}", probe, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; status: {json.dumps(self.status(name))[:3000]}") from None

    def phase(self, name: str, phase: str, timeout: float = 300) -> dict[str, Any]:
        """Wait for a phase."""
        return self.until(name, lambda s: s.get("phase") == phase, timeout)

    def closed(self, name: str, phase: str, timeout: float = 300) -> dict[str, Any]:
        """Wait for a terminal phase whose records are complete."""
        return self.until(
            name,
            lambda s: s.get("phase") == phase and condition(s, "TrackingAvailable").get("reason") == "RunClosed",
            timeout,
        )

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Pods of a run."""
        return self.kubectl.objects("pods", self.namespace, f"runwright.dev/run={name}")


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """A condition by type; empty when it is absent."""
    found: dict[str, Any] = next((c for c in status.get("conditions", ()) if c["type"] == kind), {})
    return found


def run_id(status: dict[str, Any]) -> str:
    """Id of the MLflow run in a status."""
    found: str = status.get("tracking", {}).get("runId", "")
    return found
