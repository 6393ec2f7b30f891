"""Events: what changed between two statuses, in words; posted only after the write that justifies them."""

from typing import Final

from runwright.apis.v1alpha1 import Phase, TrainingRunStatus
from runwright.ports import EventNote
from runwright.trainingrun.records import condition

QUIET: Final = frozenset({"Initializing", "WaitingForTracking", "PodsReady"})
"""Reasons of the Running condition that every run passes through."""


def notes(old: TrainingRunStatus, new: TrainingRunStatus) -> tuple[EventNote, ...]:
    """List the Events of a status change; an undisturbed run has three in its life."""
    found: list[EventNote] = []
    if new.tracking and new.tracking.run_id and not (old.tracking and old.tracking.run_id):
        where = f"MLflow run {new.tracking.run_id} in experiment {new.tracking.experiment}"
        found.append(EventNote("Normal", "RunCreated", where))
    ended_before = {a.number for a in old.attempts if a.end_time}
    for attempt in new.attempts:
        if attempt.end_time and attempt.number not in ended_before and attempt.outcome != "Succeeded":
            message = new.failure.message if new.failure else ""
            found.append(EventNote("Warning", attempt.reason or "Failed", f"attempt {attempt.number}: {message}"))
    if new.phase is Phase.RUNNING and old.phase is not Phase.RUNNING:
        found.append(EventNote("Normal", "Running", f"attempt {new.attempt} is running"))
    if new.phase is Phase.SUCCEEDED and old.phase is not Phase.SUCCEEDED:
        found.append(EventNote("Normal", "Succeeded", f"succeeded in {new.running_seconds} s"))
    running, before = condition(new, "Running"), condition(old, "Running")
    waits = new.phase in (Phase.PENDING, Phase.STARTING, Phase.QUEUED)
    if waits and running and running.reason not in QUIET and (before is None or before.reason != running.reason):
        found.append(EventNote("Warning", running.reason, running.message))
    return tuple(found)
