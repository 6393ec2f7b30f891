"""The next status of a TrackingStack: pure, from its spec and how its server answered."""

from datetime import datetime
from typing import Final, Literal

from runwright.apis.v1alpha1 import Condition, TrackingStack, TrackingStackStatus

READY: Final = "ServerAnswers"
UNREACHABLE: Final = "ServerUnreachable"


def next_status(stack: TrackingStack, problem: str, now: datetime) -> TrackingStackStatus:
    """Compute the status.

    The addresses are published whether or not the server answers: an outage must not look like a missing stack.

    Args:
        stack: As stored.
        problem: Why the server does not answer; ``""`` when it does.
        now: Transition time of what changes.
    """
    server = stack.spec.server.external
    ready: Literal["True", "False"] = "False" if problem else "True"
    reason = UNREACHABLE if problem else READY
    wanted = [("TrackingReady", ready, reason, problem), ("Ready", ready, reason, problem)]
    if problem:  # kstatus: on its way, not failed; the server may come back any moment
        wanted.append(("Reconciling", "True", reason, ""))
    old = {c.type: c for c in stack.status.conditions}
    conditions = []
    for kind, status, why, message in wanted:
        before = old.get(kind)
        same = before is not None and before.status == status
        conditions.append(
            Condition(
                type=kind,
                status=status,
                reason=why,
                message=message[:1024],
                observed_generation=stack.metadata.generation,
                last_transition_time=before.last_transition_time if same and before else now,
            )
        )
    return stack.status.model_copy(
        update={
            "observed_generation": stack.metadata.generation,
            "conditions": tuple(conditions),
            "tracking_uri": server.tracking_uri.rstrip("/"),
            "ui_url": (server.ui_url or server.tracking_uri).rstrip("/"),
        }
    )
