"""What an earlier stack of the same name leaves to the garbage collector is waited for, not taken over."""

from runwright.apis.v1alpha1 import TrackingStack
from runwright.trackingstack import secrets
from runwright.trackingstack.observed import Observed, Problem
from runwright.trackingstack.parts import Part


def remains(stack: TrackingStack, seen: Observed, part: Part) -> Problem | None:
    """Name what must be gone before the part is installed."""
    view = seen.parts[part]
    going = [
        f"Secret {secret.name}"
        for secret in secrets.own(stack)
        if (found := seen.secrets.get(secret.name)) is not None and found.doomed(stack.metadata.uid)
    ]
    if view.workload is not None and view.workload.deleting:
        going.append(f"{part.workload.kind} {view.workload.name}")
    if view.claim is not None and view.claim.doomed(view.workload):
        going.append(f"PersistentVolumeClaim {view.claim.name}")
    if not going:
        return None
    return Problem("WaitingForDeletion", f"{', '.join(going)} is being deleted")
