"""Decisions about what is over: an attempt, or the run."""

from datetime import datetime

from runwright.apis.v1alpha1 import Phase
from runwright.inpod.told import Told
from runwright.names import TAG_REASON, TAG_STOPPED
from runwright.trainingrun import records
from runwright.trainingrun.case import Case
from runwright.trainingrun.observed import JobView, PodView
from runwright.trainingrun.plan import (
    Action,
    CloseRun,
    DeleteJob,
    DeleteRun,
    Ended,
    Finished,
    Plan,
    ReadLogTail,
    Settled,
    UploadLogs,
)
from runwright.trainingrun.policies import cleanup, retry, stop
from runwright.trainingrun.policies.timing import LOOK_AGAIN, soonest


def settle(case: Case) -> Plan | None:
    """Make sure that a run which is over starts nothing, is closed in MLflow, and goes in time as far as it should."""
    phase = case.status.phase
    if phase is None or not phase.terminal:
        return None
    actions: list[Action] = [DeleteJob(job.name, job.uid) for job in case.seen.jobs.values() if _unfinished(job)]
    if case.run_id and case.seen.server and not records.closed(case.status) and not case.seen.remaining:
        at = case.status.completion_time or case.now
        actions += close(case, phase, records.failure_reason(case.status), at)
    expired, next_due = cleanup.expired(case.seen.jobs.values(), case.spec.pods_ttl_seconds_after_finished, case.now)
    actions += [DeleteJob(job.name, job.uid) for job in expired]
    left = cleanup.life_left(case.spec.ttl_seconds_after_finished, case.status.completion_time, case.now)
    if left is not None:
        if left <= 0 and not case.seen.remaining and (not case.run_id or records.closed(case.status)):
            return Plan(Settled(), (*actions, DeleteRun(case.run.metadata.uid)))
        next_due = soonest(next_due, left if left > 0 else LOOK_AGAIN)
    if case.seen.remaining:
        next_due = soonest(next_due, LOOK_AGAIN)
    return Plan(Settled(), tuple(actions), requeue_after=next_due)


def _unfinished(job: JobView) -> bool:
    return job.result is None and not job.deleting


def end_strays(case: Case) -> Plan | None:
    """Make sure that attempts don't overlap: what is left of an attempt that is over by the status has to go.

    Such a Job of an earlier attempt that appears late is an old leader's last request.
    """
    strays = [j for j in case.seen.jobs.values() if _unfinished(j) and (j.attempt != case.attempt or case.between)]
    if not strays:
        return None
    return Plan(Settled(), tuple(DeleteJob(job.name, job.uid) for job in strays), requeue_after=1.0)


def attempt_over(case: Case, over: Ended, *, spread: float = 0.0) -> Plan:
    """Count the end of an attempt once and let the right thing follow it; its Job goes once the status says so."""
    under_way = case.status.stop
    verdict = (
        stop.after(over, under_way)
        if under_way is not None and under_way.mode == "Finish"
        else retry.after(over, case.spec.retry, case.status, case.now, spread=spread)
    )
    actions: list[Action] = []
    counts = over.outcome in ("Failure", "Disruption")
    if counts and over.pod is not None and not over.tail and case.options.log_tail:
        actions.append(ReadLogTail(over.pod.name))
    actions += _last(case, verdict, over.at) if isinstance(verdict, Finished) else logs(case, case.pods)
    return Plan(verdict, tuple(actions), again=True)


def finished(case: Case, verdict: Finished) -> Plan:
    """End the run; what still runs goes once the status says so.

    A crash in between must not look like a Job that somebody deleted.
    """
    return Plan(verdict, tuple(_last(case, verdict, case.now)), again=True)


def _last(case: Case, verdict: Finished, at: datetime) -> list[Action]:
    """Close the run at once where nothing of it is left: after a crash, nothing would bring it to mind again."""
    if case.seen.remaining or (case.job is not None and case.job.result is None):
        return logs(case, case.pods)
    return close(case, Phase(verdict.result), "" if verdict.result == "Succeeded" else verdict.reason, at)


def logs(case: Case, pods: tuple[PodView, ...]) -> list[Action]:
    """Store the logs of pods whose launcher could not."""
    wanted = tuple(p for p in pods if not ((told := Told.of(p.exit_message)) and told.log))
    return [UploadLogs(case.run_id, wanted)] if case.run_id and wanted else []


def close(case: Case, phase: Phase, reason: str, at: datetime) -> list[Action]:
    """Records of a run that is over: logs, manifest, last metrics, terminal state."""
    if not case.run_id or case.seen.server is None:
        return []
    params = records.parameters(case.spec)
    if (tracked := case.seen.tracked) is not None:
        params = {k: v for k, v in params.items() if k not in tracked.params}
    last = CloseRun(
        case.run_id,
        records.mlflow_state(phase, reason),
        end_time=at,
        tags=_last_tags(case, phase, reason),
        artifacts={"trainingrun.yaml": records.resolved_manifest(case.run)},
        params=params,
        history_of=case.spec.objective.metric if case.spec.objective else "",
    )
    return [*logs(case, case.seen.pods), last]


def _last_tags(case: Case, phase: Phase, reason: str) -> dict[str, str]:
    """Tags that only the end knows, and those that a lost request may have left behind."""
    tags = {TAG_REASON: reason} if reason else {}
    if phase is Phase.SUCCEEDED and case.status.stop is not None:
        tags[TAG_STOPPED] = case.status.stop.message or case.status.stop.reason
    tracked = case.seen.tracked
    if tracked is None and case.attempt <= 1 and case.spec.git is None:
        return tags  # nobody looked since they were set at creation
    known = tracked.tags if tracked is not None else {}
    return {k: v for k, v in records.changing_tags(case.run).items() if known.get(k) != v} | tags
