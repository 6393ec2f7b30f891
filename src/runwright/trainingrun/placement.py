"""Where pods go: around nodes that failed them, and through the queue that the user names; pure."""

from collections.abc import Mapping
from typing import Any

from runwright.apis.v1alpha1 import TrainingRun
from runwright.names import KUEUE_LABELS

BAD = ("Failed", "Disrupted")


def queue_labels(run: TrainingRun) -> dict[str, str]:
    """Labels that Kueue reads on the Job. It owns the Job's ``spec.suspend``; we never set it."""
    return {name: run.metadata.labels[name] for name in KUEUE_LABELS if name in run.metadata.labels}


def affinity(run: TrainingRun) -> Mapping[str, Any]:
    """Prefer other nodes than those that earlier attempts failed on, where there are others."""
    nodes = sorted({a.node for a in run.status.attempts if a.node and a.outcome in BAD and a.reason != "Preempted"})
    if not nodes:
        return {}
    others = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    preferred = [{"weight": 100, "preference": {"matchFields": others}}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
