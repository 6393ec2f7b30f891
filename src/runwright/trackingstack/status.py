"""The next status of a TrackingStack: pure, from its spec and what was seen."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus
from runwright.apis.v1alpha1.trackingstack import ReleaseStatus
from runwright.conditions import Says, merge
from runwright.ports import Release
from runwright.trackingstack.observed import Observed, PartView, Problem, SecretView
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import Part
from runwright.trackingstack.policies import backup, readiness, releases, rights, secrets, storage
from runwright.trackingstack.server import server_of

ANSWERS: Final = "ServerAnswers"
UNREACHABLE: Final = "ServerUnreachable"
PODS_READY: Final = "PodsReady"
PARTS_READY: Final = "PartsReady"
UPDATING: Final = Problem("Updating")

Problems = Mapping[Part, Problem | None]


def next_status(stack: TrackingStack, seen: Observed, options: Options, now: datetime) -> TrackingStackStatus:
    """Compute the status; what cannot be known now stays as it was.

    Args:
        stack: As stored.
        seen: What there is.
        options: The administrator's settings.
        now: Transition time of what changes.
    """
    changed: dict[str, Any] = {"observed_generation": stack.metadata.generation}
    wanted: dict[str, Says | None] = {}
    problems: dict[Part, Problem | None] = {}
    if seen.refused is None:
        if stack.spec.external:
            problems[Part.SERVER] = Problem(UNREACHABLE, seen.answer) if seen.answer else None
        problems |= {part: part_problem(stack, seen, part) for part in seen.parts}
        wanted |= {part.condition: _says(part, problem) for part, problem in problems.items()}
        if stack.spec.backup is None:
            wanted["BackupSucceeded"] = None
        elif (told := backup.told(seen.backup)) is not None:
            wanted["BackupSucceeded"] = told
        changed["last_backup_time"] = backup.last(seen.backup, stack.status.last_backup_time)
        changed |= _published(stack, seen, options)
        found = [_release(view.wanted.key.name, view.release) for view in seen.parts.values() if view.release]
        changed["releases"] = tuple(found)
    wanted |= _summary(stack, whole_problem(stack, seen, problems))
    changed["conditions"] = merge(stack.status.conditions, wanted, stack.metadata.generation, now)
    return stack.status.model_copy(update=changed)


def part_problem(stack: TrackingStack, seen: Observed, part: Part) -> Problem | None:
    """What keeps a managed part from working; None when it works, as wanted or not."""
    view = seen.parts[part]
    if part is Part.SERVER and seen.answer == "":
        return None
    if view.works:
        if part is not Part.SERVER:
            return None
        return readiness.STARTING if seen.answer is None else Problem(UNREACHABLE, seen.answer)
    if (unusable := secrets.unusable(stack, seen, part)) is not None:
        return unusable
    if not view.current and (waits := releases.blocked(stack, seen, part)) is not None:
        return waits
    if view.failure is not None:
        return _failed(stack, view)
    found = readiness.why_not(part, view)
    if found is readiness.STARTING and part is Part.SERVER and seen.answer:
        return Problem(UNREACHABLE, seen.answer)
    return found


def whole_problem(stack: TrackingStack, seen: Observed, problems: Problems) -> Problem | None:
    """What keeps the stack from being as wanted: first what does not get better by itself."""
    if seen.refused is not None:
        return seen.refused
    if (failure := seen.failure) is not None:
        return rights.problem(failure.message, stack.metadata.namespace, forbidden=failure.forbidden)
    views = seen.parts.values()
    found = [
        *(_failed(stack, view) for view in views if view.failure is not None),
        *map(storage.refused_growth, views),
        *problems.values(),
        *(_behind(stack, seen, part) for part in seen.parts),
    ]
    return next((problem for problem in found if problem is not None), None)


def _behind(stack: TrackingStack, seen: Observed, part: Part) -> Problem | None:
    """Why a part that works is not as wanted yet."""
    view = seen.parts[part]
    if not view.current:
        return releases.blocked(stack, seen, part) or UPDATING
    return None if view.works else Problem("Updating", f"{part.title}: not all pods are ready yet")


def _failed(stack: TrackingStack, view: PartView) -> Problem:
    assert view.failure is not None  # noqa: S101  # both callers looked; narrows the type
    text = f"{view.wanted.key.name}: {view.failure.message}"
    return rights.problem(text, stack.metadata.namespace, forbidden=view.failure.forbidden, reason="ReleaseFailed")


def _says(part: Part, problem: Problem | None) -> Says:
    if problem is None:
        return Says("True", ANSWERS if part is Part.SERVER else PODS_READY)
    return Says("False", problem.reason, problem.message)


def _summary(stack: TrackingStack, problem: Problem | None) -> dict[str, Says | None]:
    """Ready, Reconciling and Stalled as kstatus reads them (cli-utils, pkg/kstatus)."""
    if problem is None:
        reason = ANSWERS if stack.spec.external else PARTS_READY
        return {"Ready": Says("True", reason), "Reconciling": None, "Stalled": None}
    stalled = problem.stalled
    return {
        "Ready": Says("False", problem.reason, problem.message),
        "Reconciling": None if stalled else Says("True", problem.reason),
        "Stalled": Says("True", problem.reason, problem.message) if stalled else None,
    }


def _published(stack: TrackingStack, seen: Observed, options: Options) -> dict[str, Any]:
    """Where runs are tracked, and with what.

    A server of our own is published when it has answered at its address for the first time, and stays: an outage must
    not look like a missing stack. The same with another address or login: it counts once it works.
    """
    server = server_of(stack, options, _certificate(stack, seen))
    changed: dict[str, Any] = {}
    view = seen.parts.get(Part.SERVER)
    if stack.spec.external or (view is not None and view.release is not None):
        changed["ui_url"] = server.ui_url or server.uri
    if stack.spec.external or seen.answer == "":
        changed["tracking_uri"] = server.uri
        changed["operator_secret_name"] = server.operator_secret.name if server.operator_secret else None
        changed["client_secret_name"] = server.client_secret or None
        changed["ca_bundle"] = server.ca_bundle or None
    return changed


def _certificate(stack: TrackingStack, seen: Observed) -> SecretView | None:
    server = stack.spec.server
    return seen.secrets.get(server.tls_secret_name) if server and server.tls_secret_name else None


def _release(name: str, release: Release) -> ReleaseStatus:
    return ReleaseStatus(
        name=name,
        chart=release.chart,
        version=release.version[:64],
        app_version=release.app_version[:64] or None,
        revision=release.revision,
        state=release.state[:32],
    )
