"""The stories of attempts in the status, and the counters and clocks that are their sums; pure."""

from datetime import datetime
from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRunSpec, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import AttemptStatus, CheckpointStatus, FailureStatus
from runwright.conditions import MESSAGE_LIMIT
from runwright.inpod.told import Told
from runwright.trainingrun import records
from runwright.trainingrun.fetched import Fetched
from runwright.trainingrun.observed import PodView
from runwright.trainingrun.plan import Ended
from runwright.trainingrun.policies.deadlines import running_since

KEPT_ATTEMPTS: Final = 10
REASON_LIMIT: Final = 256
TAIL_LIMIT: Final = 2048
OUTCOMES: Final = {
    "Succeeded": "Succeeded",
    "Failure": "Failed",
    "Disruption": "Disrupted",
    "Suspended": "Suspended",
    "Stopped": "Stopped",
}
SAFE_STEP: Final = 2**63


def begun(
    spec: TrainingRunSpec, status: TrainingRunStatus, job: str, pods: tuple[PodView, ...]
) -> dict[str, Any] | None:
    """Return what changes when the attempt's pods run, or run again; None while they do not."""
    record = records.running_attempt(status)
    if record is not None and record.suspend_time is None:
        return {}
    if record is not None and record.suspend_time is not None:
        since = running_since(newer(pods, record.suspend_time), spec.num_nodes)
        if since is None:
            return None
        again = record.model_copy(update={"suspend_time": None, "resume_time": since})
        return {"attempts": (*status.attempts[:-1], again)}
    since = running_since(pods, spec.num_nodes)
    if since is None:
        return None
    record = AttemptStatus(number=status.attempt, job=job, start_time=since)
    return {
        "attempts": (*status.attempts, record)[-KEPT_ATTEMPTS:],
        "start_time": status.start_time or since,
        **resolved(status, pods),
    }


def newer(pods: tuple[PodView, ...], than: datetime) -> tuple[PodView, ...]:
    """Pods that were not there when a queue took the nodes away: they have not started, or have since."""
    return tuple(p for p in pods if not p.deleting and (p.started is None or p.started >= than))


def preempted(status: TrainingRunStatus, ended: Ended) -> dict[str, Any]:
    """Return what changes when a queue takes the nodes of the running attempt away."""
    record = records.running_attempt(status)
    assert record is not None  # noqa: S101  # only a running attempt is preempted; narrows the type
    ran = _seconds(records.running_from(status), ended.at)
    story = record.model_copy(
        update={
            "running_seconds": (record.running_seconds or 0) + ran,
            "suspend_time": ended.at,
            "resume_time": None,
            "preemptions": (record.preemptions or 0) + 1,
        }
    )
    return {
        "attempts": (*status.attempts[:-1], story),
        "running_seconds": status.running_seconds + ran,
        "disruptions": status.disruptions + 1,
    }


def over(
    spec: TrainingRunSpec,
    status: TrainingRunStatus,
    job: str,
    pods: tuple[PodView, ...],
    ended: Ended,
    log_tail: str,
) -> dict[str, Any]:
    """Return what changes when an attempt ends: it is counted, and its story written.

    Args:
        spec: Tells the number of nodes.
        status: The status so far.
        job: Name of its Job.
        pods: Its pods.
        ended: How it ended.
        log_tail: Last lines of the pod that ended it; ``""`` where they are not to be shown.
    """
    record = records.running_attempt(status)
    since = records.running_from(status) if record else running_since(pods, spec.num_nodes)
    ran = _seconds(since, ended.at)
    before = record or AttemptStatus(number=status.attempt, start_time=since)
    story = before.model_copy(
        update={
            "job": job,
            "end_time": ended.at,
            "suspend_time": None,
            "running_seconds": (before.running_seconds or 0) + ran,
            "outcome": OUTCOMES[ended.outcome],
            "reason": ended.reason[:REASON_LIMIT],
            "exit_code": ended.exit_code,
            "pod": ended.pod.name if ended.pod else None,
            "node": (ended.pod.node or None) if ended.pod else None,
            "counts_as": ended.outcome if ended.outcome in ("Failure", "Disruption") else None,
        }
    )
    others = tuple(a for a in status.attempts if a.number != status.attempt)
    changed: dict[str, Any] = {
        "attempts": (*others, story)[-KEPT_ATTEMPTS:],
        "running_seconds": status.running_seconds + ran,
        "start_time": status.start_time or since,
        **resolved(status, pods),
        **_checkpoint(status, pods),
    }
    if ended.outcome == "Succeeded":
        return changed | {"failure": None}
    if story.counts_as is None:
        return changed
    counter = "failures" if ended.outcome == "Failure" else "disruptions"
    changed[counter] = getattr(status, counter) + 1
    changed["failure"] = FailureStatus(
        reason=ended.reason[:REASON_LIMIT],
        message=ended.message[:MESSAGE_LIMIT],
        exit_code=ended.exit_code,
        pod=story.pod,
        node=story.node,
        log_tail=log_tail[:TAIL_LIMIT] or None,
    )
    return changed


def resolved(status: TrainingRunStatus, pods: tuple[PodView, ...]) -> dict[str, Any]:
    """Return what the first pods tell of what the run is made of: the image's digest and the commit."""
    if status.resolved is None:
        return {}
    digest = next((p.image_id for p in pods if p.image_id), "")
    commit = next((c for p in pods if p.setup.message and (c := Fetched.of(p.setup.message).commit)), "")
    news: dict[str, Any] = {}
    if digest and not status.resolved.image_digest:
        news["image_digest"] = digest
    if commit and not status.resolved.git_commit:
        news["git_commit"] = commit[:64]
    return {"resolved": status.resolved.model_copy(update=news)} if news else {}


def _checkpoint(status: TrainingRunStatus, pods: tuple[PodView, ...]) -> dict[str, Any]:
    """Return the newest checkpoint that a launcher found at the end."""
    found = [
        (told.checkpoint_step, told.checkpoint_time)
        for p in pods
        if (told := Told.of(p.exit_message)) and told.checkpoint_step is not None and told.checkpoint_time is not None
    ]
    found = [(step, time) for step, time in found if -SAFE_STEP <= step < SAFE_STEP]
    if not found:
        return {}
    step, time = max(found)
    if status.checkpoint is not None and status.checkpoint.step >= step:
        return {}
    return {"checkpoint": CheckpointStatus(step=step, time=time)}


def _seconds(since: datetime | None, until: datetime) -> int:
    return max(0, int((until - since).total_seconds())) if since else 0
