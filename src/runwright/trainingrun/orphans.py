"""MLflow runs whose TrainingRun is gone: closed KILLED once no pod of theirs remains."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrainingRun, TrainingRunStatus
from runwright.errors import InvalidObjectError, RefusedError, TransientError
from runwright.names import TAG_REASON
from runwright.ports import Cluster, Json, Key, Kind, OrphanVerdict, RunStatus, TrackedRun, Trackers
from runwright.stored import parse
from runwright.trainingrun import records
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.observe import find_server
from runwright.trainingrun.observed import JobView, PodView
from runwright.trainingrun.options import Options

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0
"""Seconds between two looks at a deleted run whose pods still end or whose tracker is away."""


def pods_remain(uid: str, cluster: Cluster) -> bool:
    """Whether pods of the run may still run code, or a Job of it may still make some."""
    if any(not PodView.of(pod).over for pod in cluster.owned(Kind.POD, uid)):
        return True
    jobs = map(JobView.of, cluster.owned(Kind.JOB, uid))
    return any(job.result is None and not job.deleting for job in jobs)


def judge(tracked: TrackedRun, status: TrainingRunStatus, *, news: bool, busy: bool) -> OrphanVerdict:
    """Say what to do with an MLflow run whose TrainingRun exists.

    Args:
        tracked: RUNNING, or at the top of RUNNING ones.
        status: Of the TrainingRun, read live.
        news: Whether reading it brought something that no event will bring again.
        busy: Whether pods of it remain.
    """
    ended = tracked.status not in ("RUNNING", "SCHEDULED")
    own = status.tracking.run_id if status.tracking else None
    if own is not None and own != tracked.run_id:
        # Made twice: an old leader's request, carried out after the new one had searched.
        return tracked.status if ended else "KILLED"
    if status.phase is None or not status.phase.terminal:
        return "reconcile" if news else "leave"
    if ended:
        return tracked.status
    if own is None:  # it ended before the status knew of its MLflow run
        return records.mlflow_state(status.phase, records.failure_reason(status))
    if not records.closed(status):
        return "reconcile"
    return "wait" if busy else records.mlflow_state(status.phase, records.failure_reason(status))


def departed(key: Key, memory: Memory) -> Sequence[Json]:
    """TrainingRuns of this name that left the watch and were not dealt with yet."""
    return [
        body
        for body in memory.departed.values()
        if (body["metadata"]["namespace"], body["metadata"]["name"]) == (key.namespace, key.name)
    ]


async def close_departed(
    left: Sequence[Json],
    current: Json | None,
    cluster: Cluster,
    trackers: Trackers,
    memory: Memory,
    *,
    options: Options,
    now: datetime,
) -> float | None:
    """Close the MLflow runs of deleted TrainingRuns.

    What is forgotten here (the operator stops, the tracker stays away) is found again by the sweeper.

    Args:
        left: The `departed` ones of a name.
        current: What has that name now, read live.
        cluster: Tells which pods remain.
        trackers: The MLflow servers.
        memory: Where `left` is from.
        options: The operator's settings.
        now: The end time of what is closed.

    Returns:
        Seconds until this should be tried again; None when nothing is left to do.
    """
    waiting: float | None = None
    for body in left:
        uid = body["metadata"]["uid"]
        if current is not None and current["metadata"]["uid"] == uid:
            memory.departed.pop(uid, None)  # it left the watch because it finished, or is on its way out
            continue
        if pods_remain(uid, cluster) or not await _close(body, cluster, trackers, memory, options, now):
            waiting = LOOK_AGAIN
            continue
        memory.departed.pop(uid, None)
        memory.forget(uid)
    return waiting


async def _close(
    body: Json, cluster: Cluster, trackers: Trackers, memory: Memory, options: Options, now: datetime
) -> bool:
    """Write the terminal state: what the run came to, else KILLED; False when it must be tried again."""
    try:
        run = parse(TrainingRun, body)
    except InvalidObjectError as error:
        log.warning("the sweeper closes the MLflow run of a deleted TrainingRun that does not parse: %s", error)
        return True
    status, uid = run.status, run.metadata.uid
    run_id = (status.tracking.run_id if status.tracking else None) or memory.made.get(uid)
    server, _ = find_server(run, cluster, options)
    if server is None or run_id is None or records.closed(status):
        return True  # made or not, the sweeper knows it by its tag
    state: RunStatus = "KILLED"
    tags = {TAG_REASON: "Deleted"}
    if status.phase is not None and status.phase.terminal:
        reason = records.failure_reason(status)
        state, tags = records.mlflow_state(status.phase, reason), {TAG_REASON: reason} if reason else {}
    try:
        await trackers(server).close_run(run_id, state, status.completion_time or now, tags=tags)
    except TransientError as error:
        log.info("MLflow run %s of the deleted TrainingRun is to be closed: %s", run_id, error)
        return False
    except RefusedError as error:
        log.warning("MLflow run %s of the deleted TrainingRun cannot be closed: %s", run_id, error)
    return True
