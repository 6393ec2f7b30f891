"""What to do: a pure function from what is wanted and what is seen to a `Plan`.

`CHAIN` reads as the specification: the first member that has something to say decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import Phase, TrainingRun, TrainingRunSpec, TrainingRunStatus
from runwright.names import TAG_ATTEMPT, TAG_REASON
from runwright.ports import Kind
from runwright.trainingrun import manifests, records
from runwright.trainingrun.environment import Tracked
from runwright.trainingrun.failures import ended
from runwright.trainingrun.observed import JobView, Observed, PodView, Problem
from runwright.trainingrun.options import Options
from runwright.trainingrun.plan import (
    Action,
    BackingOff,
    Begun,
    CloseRun,
    Create,
    CreateRun,
    DeleteJob,
    Ended,
    Finished,
    Follow,
    Live,
    LogParams,
    Marked,
    Plan,
    ReadLogTail,
    SetTags,
    Settled,
    UploadLogs,
    Waiting,
)
from runwright.trainingrun.policies import cleanup, deadlines, retry

LOOK_AGAIN: Final = 30.0
"""Seconds after which something that should come as an event is looked at anyway."""
STACK_RETRY: Final = 5.0
"""Seconds between two looks for a tracking stack that is not there yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run at one moment."""

    run: TrainingRun
    status: TrainingRunStatus
    seen: Observed
    options: Options
    now: datetime

    @property
    def spec(self) -> TrainingRunSpec:
        """What is wanted."""
        return self.run.spec

    @property
    def attempt(self) -> int:
        """Number of the current attempt; 0 before the first."""
        return self.status.attempt or 0

    @property
    def job(self) -> JobView | None:
        """Job of the current attempt."""
        return self.seen.jobs.get(self.attempt)

    @property
    def pods(self) -> tuple[PodView, ...]:
        """Pods of the current attempt."""
        return self.seen.pods_of(self.attempt)

    @property
    def run_id(self) -> str:
        """Id of the MLflow run; ``""`` while there is none."""
        return (self.status.tracking.run_id or "") if self.status.tracking else ""

    @property
    def tracked(self) -> Tracked | None:
        """Coordinates of the MLflow run for the pods."""
        tracking = self.status.tracking
        if self.seen.server is None or tracking is None or not tracking.run_id:
            return None
        return Tracked(self.seen.server, tracking.experiment_id or "", tracking.run_id)


def decide(run: TrainingRun, seen: Observed, options: Options, now: datetime) -> Plan:
    """Choose the next step of a run."""
    case = Case(run, run.status, seen, options, now)
    for policy in CHAIN:
        plan = policy(case)
        if plan is not None:
            return plan
    return Plan(Live())


# ---------------------------------------------------------------------------------------------------- over


def settle(case: Case) -> Plan | None:
    """Make sure that a run which is over starts nothing, is closed in MLflow, and that its pods go in time."""
    phase = case.status.phase
    if phase is None or not phase.terminal:
        return None
    actions: list[Action] = [DeleteJob(job.name, job.uid) for job in case.seen.jobs.values() if _unfinished(job)]
    if case.run_id and case.seen.server and not records.closed(case.status) and not case.seen.remaining:
        at = case.status.completion_time or case.now
        actions += _close(case, phase, records.failure_reason(case.status), at)
    expired, next_due = cleanup.expired(case.seen.jobs.values(), case.spec.pods_ttl_seconds_after_finished, case.now)
    actions += [DeleteJob(job.name, job.uid) for job in expired]
    if case.seen.remaining:
        next_due = min(LOOK_AGAIN, next_due if next_due is not None else LOOK_AGAIN)
    return Plan(Settled(), tuple(actions), requeue_after=next_due)


def _unfinished(job: JobView) -> bool:
    return job.result is None and not job.deleting


# ---------------------------------------------------------------------------------------------------- before pods


def create_mlflow_run(case: Case) -> Plan | None:
    """Make sure that the MLflow run exists, and is in the status, before the first pod."""
    if not case.options.tracking or case.run_id:
        return None
    if case.seen.server is None:
        problem = case.seen.server_problem or Problem("StackNotFound", "there is no TrackingStack for this run")
        return Plan(Waiting(problem), requeue_after=STACK_RETRY)
    if not records.marked(case.status):
        return Plan(Marked(), again=True)
    new = records.new_run(case.run, case.seen.server, case.options, case.now)
    create = CreateRun(new, search_first=case.seen.created_before)
    return Plan(Begun(max(case.attempt, 1)), (create,), again=True)


def end_strays(case: Case) -> Plan | None:
    """Make sure that attempts don't overlap: an earlier one's Job that appears late is an old leader's last request."""
    strays = [job for job in case.seen.jobs.values() if job.attempt != case.attempt and _unfinished(job)]
    if not strays:
        return None
    return Plan(Settled(), tuple(DeleteJob(job.name, job.uid) for job in strays), requeue_after=1.0)


def begin_first_attempt(case: Case) -> Plan | None:
    """Make sure that the attempt's number is in the status before its pods exist."""
    return Plan(Begun(1), again=True) if case.attempt == 0 else None


def wait_between_attempts(case: Case) -> Plan | None:
    """Make sure that attempts don't overlap and that the back-off is kept."""
    due = case.status.next_attempt_time
    if due is None:
        return None
    left = (due - case.now).total_seconds()
    if left > 0:
        return Plan(BackingOff(), requeue_after=left)
    if case.seen.remaining:
        return Plan(BackingOff(), requeue_after=LOOK_AGAIN)
    return Plan(Begun(case.attempt + 1), again=True)


def create_job(case: Case) -> Plan | None:
    """Make sure that the current attempt has its Job, and that a Job somebody deleted is not silently replaced."""
    if case.job is not None:
        return None
    if (lost := records.running_attempt(case.status)) is not None:
        message = f"Job {lost.job} was deleted by somebody else while attempt {lost.number} was running"
        return _over(case, Ended("Disruption", "JobDeleted", message, case.now))
    if case.seen.pods_of(case.attempt) and case.seen.remaining:
        return Plan(Live(), requeue_after=LOOK_AGAIN)  # of a Job somebody deleted before it ran
    if case.seen.source_problem is not None:
        return Plan(Waiting(case.seen.source_problem), requeue_after=STACK_RETRY)
    keys = _keys(case)
    files = manifests.source_files(case.spec, keys)
    job = manifests.job(case.run, case.attempt, case.tracked, files, case.options)
    actions: list[Action] = [*_needed_by_pods(case), Create(Kind.JOB, job)]
    if case.run_id:
        if case.attempt > 1:
            actions.append(SetTags(case.run_id, {TAG_ATTEMPT: str(case.attempt)}))
        elif params := records.parameters(case.spec):
            actions.append(LogParams(case.run_id, params))
        # Last, so that the poller's first view has what was just logged.
        actions.append(Follow(case.run_id))
    return Plan(Live(), tuple(actions))


def _needed_by_pods(case: Case) -> list[Create]:
    made: list[Create] = []
    if case.spec.source is not None:
        made.append(Create(Kind.CONFIG_MAP, manifests.source_config_map(case.run, case.seen.source)))
    if case.tracked is not None and case.tracked.server.ca_bundle:
        made.append(Create(Kind.CONFIG_MAP, manifests.ca_config_map(case.run, case.tracked.server.ca_bundle)))
    if case.spec.num_nodes > 1:
        made.append(Create(Kind.SERVICE, manifests.service(case.run)))
    return made


def _keys(case: Case) -> tuple[str, ...]:
    found = case.seen.source or {}
    return (*(found.get("data") or ()), *(found.get("binaryData") or ()))


# ---------------------------------------------------------------------------------------------------- running


def end_attempt(case: Case) -> Plan | None:
    """Make sure that the end of an attempt is counted once and followed by the right thing."""
    if case.job is None:
        return None
    over = ended(case.job, case.pods)
    return _over(case, over) if over is not None else None


def _over(case: Case, over: Ended) -> Plan:
    verdict = retry.after(over, case.spec.retry, case.status, case.now)
    actions: list[Action] = []
    if over.outcome != "Succeeded" and over.pod is not None and case.options.log_tail:
        actions.append(ReadLogTail(over.pod.name))
    if isinstance(verdict, Finished) and not case.seen.remaining:
        reason = "" if verdict.result == "Succeeded" else verdict.reason
        actions += _close(case, Phase(verdict.result), reason, over.at)
    elif case.run_id and case.pods:
        actions.append(UploadLogs(case.run_id, case.pods))
    return Plan(verdict, tuple(actions), again=True)


def enforce_deadline(case: Case) -> Plan | None:
    """Make sure that a run doesn't run longer than ``activeDeadlineSeconds``, all attempts together."""
    left = _deadline(case)
    if case.job is None or left is None or left > 0:
        return None
    limit = case.spec.active_deadline_seconds
    message = f"the run was active for longer than activeDeadlineSeconds: {limit}"
    over = Ended("Failure", "DeadlineExceeded", message, case.now)
    actions: list[Action] = []
    if case.run_id and case.pods:  # their logs go with them
        actions.append(UploadLogs(case.run_id, case.pods))
    # The Job goes when the status says so (`settle`): a crash in between must not look like a Job somebody deleted.
    return Plan(Finished("Failed", "DeadlineExceeded", message, over), tuple(actions), again=True)


def _deadline(case: Case) -> float | None:
    since = deadlines.running_since(case.pods, case.spec.num_nodes)
    spent = case.status.running_seconds or 0
    return deadlines.seconds_left(case.spec.active_deadline_seconds, spent, since, case.now)


def follow(case: Case) -> Plan | None:
    """Make sure that a live run is followed, and that MLflow has its parameters and tags."""
    actions: list[Action] = []
    if case.run_id and case.seen.server:
        actions.append(Follow(case.run_id))
        if (tracked := case.seen.tracked) is not None and not tracked.deleted:
            missing = {k: v for k, v in records.parameters(case.spec).items() if k not in tracked.params}
            if missing:
                actions.append(LogParams(case.run_id, missing))
            wanted = records.changing_tags(case.run)
            changed = {k: v for k, v in wanted.items() if tracked.tags.get(k) != v}
            if changed:
                actions.append(SetTags(case.run_id, changed))
    clocks = [left for left in (_deadline(case),) if left is not None]
    if case.seen.publish_in > 0:
        clocks.append(case.seen.publish_in)
    return Plan(Live(), tuple(actions), requeue_after=min(clocks, default=None))


CHAIN: Final[tuple[Callable[[Case], Plan | None], ...]] = (
    settle,
    end_strays,
    create_mlflow_run,
    begin_first_attempt,
    wait_between_attempts,
    create_job,
    end_attempt,
    enforce_deadline,
    follow,
)


def _close(case: Case, phase: Phase, reason: str, at: datetime) -> list[Action]:
    """Records of a run that is over: logs, manifest, last metrics, terminal state."""
    if not case.run_id or case.seen.server is None:
        return []
    params = records.parameters(case.spec)
    if (tracked := case.seen.tracked) is not None:
        params = {k: v for k, v in params.items() if k not in tracked.params}
    close = CloseRun(
        case.run_id,
        records.mlflow_state(phase, reason),
        end_time=at,
        tags=_last_tags(case, reason),
        artifacts={"trainingrun.yaml": records.resolved_manifest(case.run)},
        params=params,
        history_of=case.spec.objective.metric if case.spec.objective else "",
    )
    logs: list[Action] = [UploadLogs(case.run_id, case.seen.pods)] if case.seen.pods else []
    return [*logs, close]


def _last_tags(case: Case, reason: str) -> dict[str, str]:
    """Tags that only the end knows, and those that a lost request may have left behind."""
    tags = {TAG_REASON: reason} if reason else {}
    tracked = case.seen.tracked
    if tracked is None and case.attempt <= 1:
        return tags  # nobody looked since they were set at creation
    known = tracked.tags if tracked is not None else {}
    return {k: v for k, v in records.changing_tags(case.run).items() if known.get(k) != v} | tags
