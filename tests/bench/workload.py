"""What is measured: the same container as a bare Job and as a TrainingRun, one pod each.

Image, command and resources are those of the peers' benchmark (docs/benchmarks.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

IMAGE = "example.invalid/none:1"  # never pulled: kwok's nodes run nothing
COMMAND = ["true"]


@dataclass(frozen=True)
class Workload:
    """A kind whose objects end in one pod each."""

    name: str
    make: Callable[[str], dict[str, Any]]
    group: str
    plural: str
    pod_label: str
    """Its value is the object's name."""
    done: str = "Complete"
    """The condition that is True at the end."""

    def path(self, namespace: str, name: str = "") -> str:
        """URL path of an object, or of the namespace's collection."""
        return f"/apis/{self.group}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


def job(name: str) -> dict[str, Any]:
    """The Job that a person would write."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "trainer", "image": IMAGE, "command": COMMAND, "resources": resources}
    pod = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 0, "template": pod},
    }


def training_run(name: str) -> dict[str, Any]:
    """The TrainingRun that a person would write."""
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": {"image": IMAGE, "command": COMMAND, "resourcesPerNode": {"cpu": "100m", "memory": "64Mi"}},
    }


JOB = Workload("job", job, "batch/v1", "jobs", "job-name")
TRAINING_RUN = Workload("trainingrun", training_run, "runwright.dev/v1alpha1", "trainingruns", "runwright.dev/run")
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in (JOB, TRAINING_RUN)}
