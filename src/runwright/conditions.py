"""Conditions of both kinds: what they say, and since when."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from runwright.apis.v1alpha1 import Condition

ORDER: Final = (
    "Suspended",
    "Running",
    "Complete",
    "Failed",
    "TrackingAvailable",
    "ModelRegistered",
    "DatabaseReady",
    "ObjectStoreReady",
    "TrackingReady",
    "BackupSucceeded",
    "Ready",
    "Reconciling",
    "Stalled",
)
"""How they are listed."""

MESSAGE_LIMIT: Final = 1024


def as_reason(text: str) -> str:
    """Bring a reason of the kubelet or a plugin (``OutOfnvidia.com/gpu``) to the form that conditions allow."""
    return re.sub(r"^[^A-Za-z]+|[^A-Za-z0-9_]", "", text)[:256] or "Unknown"


@dataclass(frozen=True, slots=True)
class Says:
    """What a condition should say now."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def merge(
    old: Iterable[Condition], wanted: Mapping[str, Says | None], generation: int | None, now: datetime
) -> tuple[Condition, ...]:
    """Bring conditions up to date.

    Args:
        old: The present ones; those that `wanted` does not name stay as they are.
        wanted: What each should say; None takes it away.
        generation: ``metadata.generation`` that this was computed from.
        now: Transition time of those whose status changes.
    """
    present = {c.type: c for c in old}
    for kind, says in wanted.items():
        before = present.pop(kind, None)
        if says is None:
            continue
        changed = before is None or before.status != says.status
        reason, message = as_reason(says.reason), says.message[:MESSAGE_LIMIT]
        if before is not None and not changed and (before.reason, before.message) == (reason, message):
            present[kind] = before
            continue
        present[kind] = Condition(
            type=kind,
            status=says.status,
            reason=reason,
            message=message,
            observed_generation=generation,
            last_transition_time=now if changed or before is None else before.last_transition_time,
        )
    return tuple(sorted(present.values(), key=lambda c: ORDER.index(c.type)))
