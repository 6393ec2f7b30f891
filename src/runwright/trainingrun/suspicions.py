"""What is read only where a decision hangs on it: a queue's reasons, a log's age, a metric's history, old records."""

import logging
from dataclasses import replace
from datetime import datetime

from runwright.errors import RefusedError, TransientError
from runwright.names import LABEL_QUEUE, LABEL_WORKLOAD_JOB, TAG_NAME, TAG_NAMESPACE, TAG_SPEC_HASH
from runwright.ports import Cluster, Key, Kind, Tracker
from runwright.trainingrun import manifests, records
from runwright.trainingrun.case import Case
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.observed import Observed
from runwright.trainingrun.policies.queue import message_of

log = logging.getLogger(__name__)


async def looked_into(case: Case, cluster: Cluster, tracker: Tracker | None, memory: Memory) -> Observed:
    """Return what was seen, with what the situation asks for."""
    seen, phase = case.seen, case.status.phase
    if phase is not None and phase.terminal:
        return seen
    if case.job is not None and case.job.suspended:
        return replace(seen, queue_message=await _queue_message(case, cluster))
    if tracker is not None and not case.run_id:
        return await _recorded(case, tracker)
    if tracker is not None:
        seen = await _curve(case, tracker, memory)
    silence = case.silence
    if silence is not None and silence.left <= 0:
        return replace(seen, last_line=await _last_line(case, cluster))
    return seen


async def _queue_message(case: Case, cluster: Cluster) -> str:
    """Ask Kueue why a Job is suspended; without Kueue, or the right to ask, there is no answer."""
    job, meta = case.job, case.run.metadata
    if job is None or LABEL_QUEUE not in meta.labels:
        return ""
    try:
        found = await cluster.select(Kind.WORKLOAD, meta.namespace, {LABEL_WORKLOAD_JOB: job.uid})
    except RefusedError:
        return ""
    return next(filter(None, map(message_of, found)), "")


async def _recorded(case: Case, tracker: Tracker) -> Observed:
    """Look for a FINISHED run of this name and spec, where one would do."""
    seen, run = case.seen, case.run
    if case.spec.rerun_policy != "IfNotRecorded" or records.marked(case.status) or seen.server is None:
        return seen
    tags = {
        TAG_NAMESPACE: run.metadata.namespace,
        TAG_NAME: run.metadata.name,
        TAG_SPEC_HASH: manifests.spec_hash(case.spec),
    }
    try:
        found = await tracker.find_recorded(records.experiment_name(run, seen.server), tags)
    except (TransientError, RefusedError) as error:
        return replace(seen, recorded_problem=str(error))
    return replace(seen, recorded=found)


def judged(case: Case) -> tuple[int, datetime] | None:
    """Return what tells whether a metric's history has news: the latest point of what early stopping watches."""
    watched, tracked = case.spec.early_stopping_metric, case.seen.tracked
    latest = tracked.metrics.get(watched[0]) if watched is not None and tracked is not None else None
    return (latest.step, latest.timestamp) if latest is not None else None


async def _curve(case: Case, tracker: Tracker, memory: Memory) -> Observed:
    """Read all points of the metric that early stopping watches, when there are new ones and the status may tell."""
    seen, watched, uid = case.seen, case.spec.early_stopping_metric, case.run.metadata.uid
    if watched is None or seen.tracked is None or case.running_since is None or case.status.stop is not None:
        return seen
    latest = judged(case)
    if latest is None or seen.publish_in > 0 or memory.judged.get(uid) == latest:
        return seen
    try:
        points = await tracker.metric_history(seen.tracked, watched[0])
    except (TransientError, RefusedError) as error:
        log.info("the history of %s of %s cannot be read: %s", watched[0], manifests.key(case.run), error)
        return seen
    return replace(seen, curve=tuple(points))


async def _last_line(case: Case, cluster: Cluster) -> datetime | None:
    """Read when the first node printed its last line; None while its node does not tell."""
    first = next((p for p in case.pods if p.started is not None and not p.over), None)
    if first is None:
        return None
    try:
        line = await cluster.last_log_time(Key(case.run.metadata.namespace, first.name))
    except (TransientError, RefusedError) as error:
        log.info("the log of pod %s cannot be read: %s", first.name, error)
        return None
    return line or first.started
