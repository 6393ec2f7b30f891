"""The next status: pure, from the old one, what was seen, what was decided and what the actions brought."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from runwright.apis.v1alpha1 import Phase, TrainingRun, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import Resolved, StopStatus, TrackingStatus
from runwright.conditions import Says, merge
from runwright.ports import TrackedRun, TrackingServer
from runwright.trainingrun import attempts, manifests, measures, records
from runwright.trainingrun.conditions import kstatus
from runwright.trainingrun.environment import job_name
from runwright.trainingrun.observed import Observed, Problem
from runwright.trainingrun.options import Options
from runwright.trainingrun.plan import (
    BackingOff,
    Begun,
    Ended,
    Finished,
    HandsOff,
    Live,
    Marked,
    Outcome,
    Paused,
    Plan,
    Preempted,
    Queued,
    Recorded,
    Restarting,
    Resumed,
    Settled,
    Stopping,
    Suspending,
    Waiting,
)
from runwright.trainingrun.policies.waiting import INITIALIZING, why_waiting

URL_LIMIT: Final = 2048
UNREACHABLE: Final = "ServerUnreachable"
WAITING_FOR_RUN: Final = Problem("WaitingForTracking", "its MLflow run is being created")
SUSPENDED: Final = Problem("Suspended", "spec.suspend is true")
RECORDED: Final = Says("True", records.RUN_CLOSED, "the MLflow run of an earlier TrainingRun")
RESUMED: Final = Problem("Resumed", "spec.suspend is not true any more")


@dataclass(frozen=True, slots=True)
class Step:
    """One pass: what was decided on which grounds, and what came of it."""

    run: TrainingRun
    seen: Observed
    plan: Plan
    outcome: Outcome
    options: Options
    now: datetime


def next_status(step: Step) -> TrainingRunStatus:
    """Compute the status that tells this pass."""
    old = step.run.status
    if isinstance(step.plan.verdict, HandsOff):
        return old
    if isinstance(step.plan.verdict, Settled):
        changed: dict[str, Any] = {}
        phase, running = old.phase or Phase.PENDING, None
    else:
        changed, phase, running = _told(step)
    changed |= _measured(step, old.model_copy(update=changed), phase)
    conditions = dict(_running(phase, running))
    tracking = RECORDED if isinstance(step.plan.verdict, Recorded) else _tracking(step, old.model_copy(update=changed))
    if tracking is not None:
        conditions["TrackingAvailable"] = tracking
    generation = step.run.metadata.generation
    return old.model_copy(
        update={
            **changed,
            "phase": phase,
            "observed_generation": generation,
            "conditions": merge(old.conditions, conditions, generation, step.now),
        }
    )


Told = tuple[dict[str, Any], Phase, Problem | None]
"""Changed fields, the phase, and what the Running condition says (None: as before)."""


def _told(step: Step) -> Told:
    """What the verdict changes."""
    old = step.run.status
    match step.plan.verdict:
        case Waiting(problem):
            return {}, _not_running(old), problem
        case Marked():
            return {}, Phase.PENDING, WAITING_FOR_RUN
        case Begun(attempt):
            return _begun(step, attempt)
        case Live(remark):
            return _live(step, remark)
        case Queued(problem):
            return {}, Phase.QUEUED, problem
        case Preempted(ended):
            return attempts.preempted(old, ended), Phase.QUEUED, Problem(ended.reason, ended.message)
        case BackingOff(problem):
            return {}, Phase.RESTARTING, problem
        case Restarting(ended, next_at):
            changed = _attempt_over(step, ended) | {"next_attempt_time": next_at}
            return changed, Phase.RESTARTING, Problem(ended.reason, f"attempt {old.attempt}: {ended.message}")
        case _:
            return _turned(step)


def _turned(step: Step) -> Told:
    """What a verdict changes that the user asked for, or that ends the run."""
    old = step.run.status
    match step.plan.verdict:
        case Suspending(over, next_at):
            changed = _attempt_over(step, over) if over is not None else {}
            return changed | {"next_attempt_time": next_at}, Phase.SUSPENDED, SUSPENDED
        case Paused():
            return {}, Phase.SUSPENDED, None
        case Resumed():
            return {}, Phase.RESTARTING if old.attempt else Phase.PENDING, RESUMED
        case Stopping(mode, reason, message):
            stop = StopStatus(mode=mode, reason=reason, message=message or None, time=step.now)
            return {"stop": stop}, old.phase or Phase.PENDING, None
        case Recorded(run):
            return _recorded(step, run)
        case Finished(result, reason, message, over):
            return _finished(step, Phase(result), Problem(reason, message), over)
        case _:
            return {}, old.phase or Phase.PENDING, None


def _not_running(old: TrainingRunStatus) -> Phase:
    if old.attempt == 0:
        return Phase.PENDING
    return Phase.STARTING if old.attempt == 1 else Phase.RESTARTING


def _begun(step: Step, attempt: int) -> Told:
    old, run = step.run.status, step.run
    changed: dict[str, Any] = {}
    if step.options.tracking and not (old.tracking and old.tracking.run_id):
        made = step.outcome.run
        if made is None or step.seen.server is None:
            return {}, Phase.PENDING, WAITING_FOR_RUN
        changed["tracking"] = TrackingStatus(
            experiment_id=made.experiment_id,
            experiment=records.experiment_name(run, step.seen.server),
            run_id=made.run_id,
            url=run_url(step.seen.server, made.experiment_id, made.run_id)[:URL_LIMIT],
        )
    if old.resolved is None:
        changed["resolved"] = Resolved(image=run.spec.image, spec_hash=manifests.spec_hash(run.spec))
    changed |= {"attempt": attempt, "next_attempt_time": None}
    return changed, Phase.STARTING if attempt == 1 else Phase.RESTARTING, INITIALIZING


def run_url(server: TrackingServer, experiment_id: str, run_id: str) -> str:
    """Address of the run for people."""
    return f"{server.ui_url or server.uri}/#/experiments/{experiment_id}/runs/{run_id}"


def _live(step: Step, remark: Problem | None) -> Told:
    old, run = step.run.status, step.run
    stuck = step.outcome.conflict or step.outcome.refused
    if stuck is not None:
        return {}, _not_running(old), stuck
    pods = step.seen.pods_of(old.attempt)
    changed = attempts.begun(run.spec, old, job_name(run, old.attempt), pods)
    if changed is None:
        record = records.running_attempt(old)
        if record is not None and record.suspend_time is not None:
            pods = attempts.newer(pods, record.suspend_time)
        phase = Phase.RESTARTING if record is not None else _not_running(old)
        return {}, phase, why_waiting(pods, run.metadata.namespace, step.seen.server)
    nodes = run.spec.num_nodes
    return changed, Phase.RUNNING, remark or Problem("PodsReady", f"{nodes} of {nodes} nodes run" if nodes > 1 else "")


def _attempt_over(step: Step, ended: Ended) -> dict[str, Any]:
    run, status = step.run, step.run.status
    tail = step.outcome.log_tail or (ended.tail if step.options.log_tail else "")
    pods = step.seen.pods_of(status.attempt)
    return attempts.over(run.spec, status, job_name(run, status.attempt), pods, ended, tail)


def _finished(step: Step, phase: Phase, why: Problem, ended: Ended | None) -> Told:
    changed = _attempt_over(step, ended) if ended is not None else {}
    at = ended.at if ended is not None else step.now
    changed |= {"completion_time": step.run.status.completion_time or at, "next_attempt_time": None}
    if phase is Phase.SUCCEEDED:
        changed["failure"] = None
    return changed, phase, why


def _recorded(step: Step, run: TrackedRun) -> Told:
    """The run of an earlier TrainingRun is this one's, too."""
    server = step.seen.server
    assert server is not None  # noqa: S101  # it was asked for the run; narrows the type
    changed: dict[str, Any] = {
        "tracking": TrackingStatus(
            experiment_id=run.experiment_id,
            experiment=records.experiment_name(step.run, server),
            run_id=run.run_id,
            url=run_url(server, run.experiment_id, run.run_id)[:URL_LIMIT],
        ),
        "resolved": Resolved(image=step.run.spec.image, spec_hash=manifests.spec_hash(step.run.spec)),
        "completion_time": step.now,
    }
    why = f"MLflow run {run.run_id} has trained this already (rerunPolicy: IfNotRecorded)"
    return changed, Phase.SUCCEEDED, Problem("AlreadyRecorded", why)


def _running(phase: Phase, why: Problem | None) -> dict[str, Says | None]:
    """Conditions that follow from the phase; `why` None leaves all as they are."""
    if why is None:
        return {}
    says: dict[str, Says | None] = {}
    if phase is Phase.RUNNING:
        says["Running"] = Says("True", why.reason, why.message)
    else:
        says["Running"] = Says("False", why.reason, why.message)
    if phase is Phase.SUSPENDED:
        says["Suspended"] = Says("True", why.reason, why.message)
    elif why is RESUMED:
        says["Suspended"] = Says("False", why.reason, why.message)
    if phase is Phase.SUCCEEDED:
        says["Complete"] = Says("True", why.reason, why.message)
    elif phase.terminal:
        says["Failed"] = Says("True", why.reason, why.message)
    return says | kstatus(phase, why.reason, why.message)


def _tracking(step: Step, status: TrainingRunStatus) -> Says | None:
    """What TrackingAvailable says; None leaves it as it is."""
    if not step.options.tracking:
        return None
    outcome, seen = step.outcome, step.seen
    if outcome.closed and not outcome.tracker_problem:
        told = "the MLflow run has its terminal state" if outcome.run else "the MLflow run is gone from the server"
        return Says("True", records.RUN_CLOSED, told)
    if records.closed(status):
        return None
    if seen.server is None:
        problem = seen.server_problem
        return Says("False", problem.reason, problem.message) if problem else None
    if outcome.tracker_refusal:
        return Says("False", "Refused", outcome.tracker_refusal)
    answered = outcome.run is not None and not outcome.tracker_problem
    if not answered and (text := seen.tracker_problem or outcome.tracker_problem):
        before = records.condition(status, "TrackingAvailable")
        if not seen.tracker_problem and before is not None and before.reason == UNREACHABLE:
            return None  # each call fails in its own words; the breaker's are the ones to show
        return Says("False", UNREACHABLE, text)
    run_id = status.tracking.run_id if status.tracking else None
    if run_id is None:
        return Says("Unknown", records.CREATING_RUN, "the MLflow run is being created")
    tracked = outcome.run or seen.tracked
    if tracked is not None and tracked.deleted:
        return Says("False", "RunDeleted", f"MLflow run {run_id} was deleted; restore it in MLflow to see metrics")
    return Says("True", "RunCreated", "")


def _measured(step: Step, status: TrainingRunStatus, phase: Phase) -> dict[str, Any]:
    """Metrics, objective and progress, when they are due."""
    tracked = step.outcome.run or step.seen.tracked
    if isinstance(step.plan.verdict, Recorded):
        tracked = step.plan.verdict.run
    if tracked is None:
        return {"progress": _whole(status)} if phase is Phase.SUCCEEDED else {}
    if step.seen.publish_in > 0 and not phase.terminal and phase is step.run.status.phase:
        return {}
    ran = status.running_seconds
    if (since := records.running_from(status)) is not None:
        ran += int((step.now - since).total_seconds())
    changed = measures.measured(step.run.spec, status, tracked.metrics, ran, step.outcome.best)
    if phase is Phase.SUCCEEDED:
        changed["progress"] = _whole(status.model_copy(update=changed))
    elif phase.terminal:
        told = changed.get("progress") or status.progress
        changed["progress"] = told.model_copy(update={"estimated_remaining_seconds": None}) if told else None
    elif changed["metrics"] == status.metrics and step.outcome.best is None:
        return {}  # only the clock moved, and with it the remaining time
    return changed


def _whole(status: TrainingRunStatus) -> Any:
    return measures.complete(status.progress)
