"""Events: what changed between two statuses, in words; posted only after the write that justifies them."""

from typing import Final

from runwright.apis.v1alpha1 import Condition, TrackingStackStatus
from runwright.ports import EventNote

QUIET: Final = frozenset(
    {
        "Starting",
        "Updating",
        "WaitingForDatabase",
        "WaitingForObjectStore",
        "WaitingForDeletion",
    }
)
"""Reasons that every stack passes through."""


def notes(old: TrackingStackStatus, new: TrackingStackStatus) -> tuple[EventNote, ...]:
    """List the Events of a status change."""
    found: list[EventNote] = []
    revisions = {release.name: release.revision for release in old.releases}
    for release in new.releases:
        if release.revision != revisions.get(release.name):
            text = f"{release.name}: revision {release.revision} of chart {release.chart} {release.version}"
            found.append(EventNote("Normal", "Released", text))
    ready, before = _condition(new, "Ready"), _condition(old, "Ready")
    if ready is not None and ready.status == "True" and (before is None or before.status != "True"):
        found.append(EventNote("Normal", "Ready", f"MLflow answers at {new.tracking_uri}"))
    if ready is not None and ready.status != "True" and ready.reason not in QUIET and _other(ready, before):
        found.append(EventNote("Warning", ready.reason, ready.message))
    backup = _condition(new, "BackupSucceeded")
    if backup is not None and backup.status == "False" and _other(backup, _condition(old, "BackupSucceeded")):
        found.append(EventNote("Warning", backup.reason, backup.message))
    return tuple(found)


def _condition(status: TrackingStackStatus, kind: str) -> Condition | None:
    return next((c for c in status.conditions if c.type == kind), None)


def _other(now: Condition, before: Condition | None) -> bool:
    return before is None or (before.status, before.reason) != (now.status, now.reason)
