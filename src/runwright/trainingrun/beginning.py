"""Decisions before pods run: whether to run at all, the MLflow run, the attempt, its Job."""

from runwright.apis.v1alpha1 import Phase
from runwright.apis.v1alpha1.trainingrun import MANAGER
from runwright.names import TAG_ATTEMPT
from runwright.ports import Kind
from runwright.trainingrun import manifests, records
from runwright.trainingrun.case import Case
from runwright.trainingrun.ending import attempt_over, finished, logs
from runwright.trainingrun.observed import Problem
from runwright.trainingrun.plan import (
    Action,
    BackingOff,
    Begun,
    Create,
    CreateRun,
    Ended,
    Finished,
    Follow,
    HandsOff,
    Live,
    LogParams,
    Marked,
    Paused,
    Plan,
    Recorded,
    Resumed,
    SetTags,
    Suspending,
    Waiting,
)
from runwright.trainingrun.policies import node_loss, stop, suspend
from runwright.trainingrun.policies.timing import LOOK_AGAIN, STACK_RETRY


def keep_hands_off(case: Case) -> Plan | None:
    """Make sure that a run which another controller manages is left alone."""
    return Plan(HandsOff()) if case.spec.managed_by not in (None, MANAGER) else None


def note_stop(case: Case) -> Plan | None:
    """Make sure that a stop is in the status before anything is done about it."""
    wanted = stop.requested(case.spec, case.status.stop)
    return Plan(wanted, again=True) if wanted is not None else None


def stop_at_once(case: Case) -> Plan | None:
    """Make sure that a run which is cancelled ends now, and one that is to finish but does not run, too."""
    under_way, job = case.status.stop, case.job
    if under_way is None or (job is not None and job.result == "Complete" and not case.between):
        return None
    runs = case.running_since is not None and not case.between
    if under_way.mode == "Finish" and (runs or (job is not None and job.result is not None and not case.between)):
        return None
    verdict = stop.without_attempt(under_way, trained=records.trained(case.status))
    over = Ended("Stopped", verdict.reason, verdict.message, case.now) if case.attempt and not case.between else None
    return finished(case, Finished(verdict.result, verdict.reason, verdict.message, over))


def hold(case: Case) -> Plan | None:
    """Make sure that a suspended run holds no pod, and that one which is not suspended any more goes on."""
    suspended = case.status.phase is Phase.SUSPENDED
    if not case.spec.suspend:
        return Plan(Resumed(), again=True) if suspended else None
    if suspended:
        return Plan(Paused(), requeue_after=LOOK_AGAIN if case.seen.remaining else None)
    if case.job is not None and case.job.result is not None and not case.between:
        return None  # it ended by itself
    if case.attempt == 0 or case.between:
        return Plan(Suspending(None, case.status.next_attempt_time), again=True)
    verdict = Suspending(suspend.ended(case.now), case.now + suspend.NEWS)
    return Plan(verdict, tuple(logs(case, case.pods)), again=True)


def enforce_pending_deadline(case: Case) -> Plan | None:
    """Make sure that a run doesn't wait for its first attempt longer than ``pendingDeadlineSeconds``."""
    left = case.pending_left
    if left is None or left > 0 or (case.job is not None and case.job.result is not None):
        return None
    message = f"the run waited longer than pendingDeadlineSeconds: {case.spec.pending_deadline_seconds}"
    over = Ended("Failure", "PendingDeadlineExceeded", message, case.now) if case.attempt and not case.between else None
    return finished(case, Finished("Failed", "PendingDeadlineExceeded", message, over))


def reuse_recorded(case: Case) -> Plan | None:
    """Make sure that what MLflow has as FINISHED is not trained again, where ``rerunPolicy`` says so."""
    if case.spec.rerun_policy != "IfNotRecorded" or case.attempt or case.run_id or records.marked(case.status):
        return None
    if case.seen.recorded_problem:
        return Plan(Waiting(Problem("WaitingForTracking", case.seen.recorded_problem)), requeue_after=STACK_RETRY)
    return Plan(Recorded(case.seen.recorded)) if case.seen.recorded is not None else None


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
        lost, _ = node_loss.overdue(case.seen.remaining, case.spec.retry.node_lost_timeout_seconds, case.now)
        return Plan(BackingOff(node_loss.told(lost[0]) if lost else None), requeue_after=LOOK_AGAIN)
    return Plan(Begun(case.attempt + 1), again=True)


def create_job(case: Case) -> Plan | None:
    """Make sure that the current attempt has its Job, and that a Job somebody deleted is not silently replaced."""
    if case.job is not None:
        return None
    if (lost := records.running_attempt(case.status)) is not None:
        message = f"Job {lost.job} was deleted by somebody else while attempt {lost.number} was running"
        return attempt_over(case, Ended("Disruption", "JobDeleted", message, case.now))
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
    if case.spec.source is not None and case.spec.source.git is None:
        made.append(Create(Kind.CONFIG_MAP, manifests.source_config_map(case.run, case.seen.source)))
    if case.tracked is not None and case.tracked.server.ca_bundle:
        made.append(Create(Kind.CONFIG_MAP, manifests.ca_config_map(case.run, case.tracked.server.ca_bundle)))
    if case.spec.checkpoint is not None and case.spec.checkpoint.size is not None:
        made.append(Create(Kind.VOLUME_CLAIM, manifests.checkpoint_claim(case.run)))
    if case.spec.num_nodes > 1:
        made.append(Create(Kind.SERVICE, manifests.service(case.run)))
    return made


def _keys(case: Case) -> tuple[str, ...]:
    found = case.seen.source or {}
    return (*(found.get("data") or ()), *(found.get("binaryData") or ()))
