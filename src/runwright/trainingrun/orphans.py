"""MLflow runs whose TrainingRun is gone: closed KILLED once no pod of theirs remains."""

import logging
from datetime import datetime
from typing import Final

from runwright.errors import RefusedError, TransientError
from runwright.names import TAG_REASON
from runwright.ports import Cluster, Json, Key, Kind, Trackers
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.observe import find_server
from runwright.trainingrun.observed import PodView
from runwright.trainingrun.options import Options
from runwright.trainingrun.parse import parse

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = 5.0
"""Seconds between two looks at a deleted run whose pods still end or whose tracker is away."""


def pods_remain(uid: str, cluster: Cluster) -> bool:
    """Whether pods of the run may still run code."""
    return any(not PodView.of(pod).over for pod in cluster.owned(Kind.POD, uid))


async def close_departed(
    key: Key, cluster: Cluster, trackers: Trackers, memory: Memory, options: Options, now: datetime
) -> float | None:
    """Close the MLflow runs of deleted TrainingRuns that had this name.

    What is forgotten here (the operator stops, the tracker stays away) is found again by the sweeper.

    Returns:
        Seconds until this should be tried again; None when nothing is left to do.
    """
    waiting: float | None = None
    for uid, body in list(memory.departed.items()):
        meta = body["metadata"]
        if (meta["namespace"], meta["name"]) != (key.namespace, key.name):
            continue
        current = await cluster.get(Kind.TRAINING_RUN, key)
        if current is not None and current["metadata"]["uid"] == uid and "deletionTimestamp" not in current["metadata"]:
            del memory.departed[uid]  # it left the watch because it finished
            continue
        if pods_remain(uid, cluster) or not await _close(body, cluster, trackers, options, now):
            waiting = LOOK_AGAIN
            continue
        del memory.departed[uid]
        memory.forget(uid)
    return waiting


async def _close(body: Json, cluster: Cluster, trackers: Trackers, options: Options, now: datetime) -> bool:
    """Write KILLED; False when it must be tried again."""
    run = parse(body)
    run_id = run.status.tracking.run_id if run.status.tracking else None
    phase = run.status.phase
    server, _ = find_server(run, cluster, options)
    if server is None or (phase is not None and phase.terminal):
        return True
    tracker = trackers(server)
    try:
        if run_id is None:
            return True  # made or not, the sweeper knows it by its tag
        await tracker.close_run(run_id, "KILLED", now, tags={TAG_REASON: "Deleted"})
    except TransientError as error:
        log.info("MLflow run %s of the deleted TrainingRun is to be closed: %s", run_id, error)
        return False
    except RefusedError as error:
        log.warning("MLflow run %s of the deleted TrainingRun cannot be closed: %s", run_id, error)
    return True
