"""The next status of a TrackingStack: pure, from its spec and how its server answered."""

from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus
from runwright.conditions import Says, merge

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
    server = stack.spec.server.external if stack.spec.server else None
    assert server is not None  # noqa: S101  # managed stacks come next
    operator = server.operator_secret_ref or server.credentials_secret_ref
    reason = UNREACHABLE if problem else READY
    says = Says("False" if problem else "True", reason, problem)
    wanted = {
        "TrackingReady": says,
        "Ready": says,
        # kstatus: on its way, not failed; the server may come back any moment
        "Reconciling": Says("True", reason) if problem else None,
    }
    conditions = merge(stack.status.conditions, wanted, stack.metadata.generation, now)
    return stack.status.model_copy(
        update={
            "observed_generation": stack.metadata.generation,
            "conditions": conditions,
            "tracking_uri": server.tracking_uri.rstrip("/"),
            "ui_url": (server.ui_url or server.tracking_uri).rstrip("/"),
            "operator_secret_name": operator.name if operator else None,
            "client_secret_name": server.credentials_secret_ref.name if server.credentials_secret_ref else None,
            "ca_bundle": server.ca_bundle,
        }
    )
