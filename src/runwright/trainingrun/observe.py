"""Gathers what is into one `Observed`."""

import asyncio
from datetime import datetime

from runwright.apis.v1alpha1 import TrainingRun
from runwright.apis.v1alpha1.trainingrun import MANAGER
from runwright.ports import Cluster, Json, Key, Kind, Trackers, TrackingServer
from runwright.servers import server_of
from runwright.trainingrun import manifests, suspicions
from runwright.trainingrun.case import Case
from runwright.trainingrun.environment import job_name
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.observed import JobView, Observed, PodView, Problem
from runwright.trainingrun.options import Options
from runwright.trainingrun.policies.publishing import due_in
from runwright.trainingrun.records import running_attempt


async def observe(
    run: TrainingRun, cluster: Cluster, trackers: Trackers, memory: Memory, options: Options, now: datetime
) -> Observed:
    """Look at everything that a decision about this run needs; mostly from caches."""
    if run.spec.managed_by not in (None, MANAGER):
        return Observed(jobs={}, pods=())
    uid, status = run.metadata.uid, run.status
    jobs = {job.attempt: job for job in map(JobView.of, cluster.owned(Kind.JOB, uid)) if job.controller_uid == uid}
    server, server_problem = find_server(run, cluster, options)
    source, source_problem = None, None
    if status.attempt and status.attempt not in jobs and not (status.phase and status.phase.terminal):
        if (missed := await _missed_job(run, cluster)) is not None:
            jobs[status.attempt] = missed
        elif running_attempt(status) is None:
            source, source_problem = await _source(run, cluster)
    tracker = trackers(server) if server is not None else None
    run_id = status.tracking.run_id if status.tracking else None
    seen = Observed(
        jobs=jobs,
        pods=await _pods(run, cluster, jobs),
        server=server,
        server_problem=server_problem,
        tracked=tracker.seen(run_id) if tracker and run_id else None,
        tracker_problem=tracker.problem if tracker else "",
        created_before=uid not in memory.fresh_marks,
        source=source,
        source_problem=source_problem,
        publish_in=due_in(status.start_time, memory.published.get(uid), now),
    )
    return await suspicions.looked_into(Case(run, status, seen, options, now), cluster, tracker, memory)


async def _missed_job(run: TrainingRun, cluster: Cluster) -> JobView | None:
    """Read the attempt's Job live where its absence from the cache would be acted upon."""
    uid, attempt = run.metadata.uid, run.status.attempt
    has_pods = any(PodView.of(pod).attempt == attempt for pod in cluster.owned(Kind.POD, uid))
    if running_attempt(run.status) is None and not has_pods:
        return None  # a POST will tell
    found = await cluster.get(Kind.JOB, Key(run.metadata.namespace, job_name(run, attempt)))
    view = JobView.of(found) if found is not None else None
    return view if view is not None and view.controller_uid == uid else None


async def _pods(run: TrainingRun, cluster: Cluster, jobs: dict[int, JobView]) -> tuple[PodView, ...]:
    """The run's pods; those that an older event still shows alive under a finished Job are read live.

    Jobs and pods come over two watches: without this a failure could lose its exit code to the order of arrival.
    """
    views = [PodView.of(pod) for pod in cluster.owned(Kind.POD, run.metadata.uid)]
    late = [p for p in views if not p.over and (job := jobs.get(p.attempt)) is not None and job.result is not None]
    if not late:
        return tuple(views)
    keys = [Key(run.metadata.namespace, p.name) for p in late]
    fresh = await asyncio.gather(*(cluster.get(Kind.POD, key) for key in keys))
    names = {p.name for p in late}
    return (
        *(p for p in views if p.name not in names),
        *(PodView.of(pod) for pod in fresh if pod is not None),
    )


def find_server(run: TrainingRun, cluster: Cluster, options: Options) -> tuple[TrackingServer | None, Problem | None]:
    """Find the tracking server of a run, or say what is missing and who can help."""
    if not options.tracking:
        return None, None
    namespace = run.metadata.namespace
    ref = run.spec.tracking.stack_ref
    if ref is None and options.default_stack is None:
        return None, Problem(
            "NoStack",
            "the operator has no default TrackingStack: name one in spec.tracking.stackRef, "
            "or ask the administrator to set defaultStack",
        )
    key = Key(namespace, ref.name) if ref is not None else options.default_stack
    assert key is not None  # noqa: S101  # one of the two is set; narrows the type
    stack = cluster.cached(Kind.TRACKING_STACK, key)
    if stack is None:
        return None, Problem(
            "StackNotFound", f"there is no TrackingStack {key}; create it, or name another in spec.tracking.stackRef"
        )
    server = server_of(stack, namespace)
    if server is None:
        return None, Problem("StackNotReady", f"TrackingStack {key} has no tracking server yet; see its conditions")
    return server, None


async def _source(run: TrainingRun, cluster: Cluster) -> tuple[Json | None, Problem | None]:
    """Read ``source.configMap``, or the run's own copy of it once that is made."""
    spec, namespace = run.spec, run.metadata.namespace
    if spec.source is None or spec.source.config_map is None:
        return None, None
    copy = await cluster.get(Kind.CONFIG_MAP, Key(namespace, manifests.source_name(run)))
    if copy is not None:
        return copy, None
    name = spec.source.config_map.name
    found = await cluster.get(Kind.CONFIG_MAP, Key(namespace, name))
    if found is None:
        return None, Problem(
            "SourceNotFound",
            f"spec.source.configMap.name: there is no ConfigMap {name} in namespace {namespace}; create it",
        )
    if not found.get("data") and not found.get("binaryData"):
        return None, Problem("SourceEmpty", f"spec.source.configMap.name: ConfigMap {name} holds no files; add some")
    return found, None
