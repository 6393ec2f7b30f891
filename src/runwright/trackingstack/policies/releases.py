"""Which release may be installed now: Secrets first, the server once what it needs works, no refusal at once again."""

from datetime import datetime

from runwright.apis.v1alpha1 import TrackingStack
from runwright.trackingstack import secrets
from runwright.trackingstack.observed import Observed, Problem
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import Install
from runwright.trackingstack.policies import secrets as usable
from runwright.trackingstack.policies.remains import remains

WAITING = {Part.DATABASE: "WaitingForDatabase", Part.STORE: "WaitingForObjectStore"}


def blocked(stack: TrackingStack, seen: Observed, part: Part) -> Problem | None:
    """Why a release that is not as wanted cannot be touched yet."""
    if (going := remains(stack, seen, part)) is not None:
        return going
    if (unusable := usable.unusable(stack, seen, part)) is not None:
        return unusable
    if any(name not in seen.secrets for name in secrets.read_by(stack, part)):
        return Problem("Starting", "its Secrets are being made")
    if part is Part.SERVER:
        for needed, reason in WAITING.items():
            view = seen.parts.get(needed)
            if view is not None and not (view.current and view.works):
                return Problem(reason, f"it follows when {needed.title} is ready")
    return None


def due(stack: TrackingStack, seen: Observed, part: Part, now: datetime) -> Install | None:
    """The installation, upgrade or repair of a release that is not as wanted, when it is time."""
    view = seen.parts[part]
    if view.current or blocked(stack, seen, part) is not None:
        return None
    if view.failure is not None and now < view.failure.retry_at:
        return None
    as_wanted = view.release is not None and view.release.current
    gone = () if view.workload is not None else (f"{part.workload.kind} {view.wanted.key.name}",)
    return Install(part, view.wanted, (view.drift or gone) if as_wanted else ())
