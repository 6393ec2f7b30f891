"""Events: what changed between two statuses, in words; posted only after the write that justifies them."""

from typing import Final

from runwright.apis.v1alpha1 import Phase, TrainingRunStatus
from runwright.ports import EventNote
from runwright.trainingrun.records import condition

QUIET: Final = frozenset({"Initializing", "WaitingForTracking", "PodsReady", "Resumed", "Stopping"})
"""Reasons of the Running condition that every run passes through, or that are told otherwise."""
SILENT: Final = "NoProgress"


def notes(old: TrainingRunStatus, new: TrainingRunStatus) -> tuple[EventNote, ...]:
    """List the Events of a status change; an undisturbed run has three in its life."""
    found: list[EventNote] = []
    if new.tracking and new.tracking.run_id and not (old.tracking and old.tracking.run_id):
        where = f"MLflow run {new.tracking.run_id} in experiment {new.tracking.experiment}"
        found.append(EventNote("Normal", "RunCreated", where))
    ended_before = {a.number for a in old.attempts if a.end_time}
    for attempt in new.attempts:
        if attempt.end_time and attempt.number not in ended_before and attempt.outcome in ("Failed", "Disrupted"):
            message = new.failure.message if new.failure else ""
            found.append(EventNote("Warning", attempt.reason or "Failed", f"attempt {attempt.number}: {message}"))
    found += _turns(old, new)
    running, before = condition(new, "Running"), condition(old, "Running")
    waits = new.phase in (Phase.PENDING, Phase.STARTING, Phase.QUEUED, Phase.RESTARTING) and not new.next_attempt_time
    silent = new.phase is Phase.RUNNING and running is not None and running.reason == SILENT
    news = running is not None and (before is None or before.reason != running.reason)
    if (waits or silent) and news and running is not None and running.reason not in QUIET:
        found.append(EventNote("Normal" if running.reason == "Queued" else "Warning", running.reason, running.message))
    return tuple(found)


def _turns(old: TrainingRunStatus, new: TrainingRunStatus) -> list[EventNote]:
    """Events of a run that begins to run, is suspended, stopped, preempted, or ends well."""
    found: list[EventNote] = []
    if new.phase is Phase.RUNNING and old.phase is not Phase.RUNNING:
        found.append(EventNote("Normal", "Running", f"attempt {new.attempt} is running"))
    if new.stop is not None and new.stop != old.stop:
        found.append(EventNote("Normal", "Stopping", f"{new.stop.mode}: {new.stop.message or new.stop.reason}"))
    if new.phase is Phase.SUSPENDED and old.phase is not Phase.SUSPENDED:
        found.append(EventNote("Normal", "Suspended", "spec.suspend is true"))
    if old.phase is Phase.SUSPENDED and new.phase is not None and not new.phase.terminal and new.phase is not old.phase:
        found.append(EventNote("Normal", "Resumed", "spec.suspend is not true any more"))
    if new.phase is Phase.SUCCEEDED and old.phase is not Phase.SUCCEEDED:
        complete = condition(new, "Complete")
        reused = complete is not None and complete.reason == "AlreadyRecorded"
        said = complete.message if complete is not None and reused else f"succeeded in {new.running_seconds} s"
        found.append(EventNote("Normal", "Succeeded", said))
    if new.phase is Phase.CANCELLED and old.phase is not Phase.CANCELLED:
        failed = condition(new, "Failed")
        found.append(EventNote("Normal", "Cancelled", failed.message if failed is not None else ""))
    return found
