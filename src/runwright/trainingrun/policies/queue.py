"""Queues (Kueue): they suspend Jobs, and own ``spec.suspend`` of them; we only tell what they do."""

from datetime import datetime
from typing import Any

from runwright.trainingrun.observed import JobView, PodView, Problem
from runwright.trainingrun.plan import Ended

WAITING = "waiting for the queue to admit it"


def problem(message: str) -> Problem:
    """Say what the run waits for."""
    return Problem("Queued", message or WAITING)


def preempted(job: JobView, pods: tuple[PodView, ...], message: str, now: datetime) -> Ended:
    """Describe the disruption of an attempt whose Job was suspended while it ran."""
    pod = next((p for p in pods if p.node), None)
    said = f"the queue has taken the nodes of Job {job.name} away"
    return Ended("Disruption", "Preempted", f"{said}: {message}" if message else said, now, pod)


def message_of(workload: Any) -> str:
    """Read why a Workload is not admitted: Kueue's conditions Evicted and QuotaReserved, the newer one."""
    conditions = workload.get("status", {}).get("conditions") or ()
    found = [
        c
        for c in conditions
        if (c["type"], c["status"]) in (("QuotaReserved", "False"), ("Evicted", "True")) and c.get("message")
    ]
    newest = max(found, key=lambda c: (c.get("lastTransitionTime", ""), c["type"] == "QuotaReserved"), default=None)
    return str(newest["message"]) if newest else ""
