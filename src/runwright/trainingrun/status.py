"""The next status: pure, from the old one, what was seen, what was decided and what the actions brought."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from runwright.apis.v1alpha1 import Phase, TrainingRun, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import (
    AttemptStatus,
    FailureStatus,
    Resolved,
    TrackingStatus,
)
from runwright.conditions import MESSAGE_LIMIT, Says, merge
from runwright.ports import TrackingServer
from runwright.trainingrun import manifests, measures, records
from runwright.trainingrun.conditions import kstatus
from runwright.trainingrun.environment import job_name
from runwright.trainingrun.observed import Observed, PodView, Problem
from runwright.trainingrun.options import Options
from runwright.trainingrun.plan import (
    BackingOff,
    Begun,
    Ended,
    Finished,
    Live,
    Marked,
    Outcome,
    Plan,
    Restarting,
    Settled,
    Waiting,
)
from runwright.trainingrun.policies.deadlines import running_since
from runwright.trainingrun.policies.waiting import INITIALIZING, why_waiting

KEPT_ATTEMPTS: Final = 10
URL_LIMIT: Final = 2048
UNREACHABLE: Final = "ServerUnreachable"
OUTCOMES: Final = {"Succeeded": "Succeeded", "Failure": "Failed", "Disruption": "Disrupted"}
WAITING_FOR_RUN: Final = Problem("WaitingForTracking", "its MLflow run is being created")


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
    if isinstance(step.plan.verdict, Settled):
        changed: dict[str, Any] = {}
        phase, running = old.phase or Phase.PENDING, None
    else:
        changed, phase, running = _told(step)
    changed |= _measured(step, old.model_copy(update=changed), phase)
    conditions = dict(_running(phase, running))
    tracking = _tracking(step, old.model_copy(update=changed))
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
        case Live():
            return _live(step)
        case BackingOff():
            return {}, Phase.RESTARTING, None
        case Restarting(ended, next_at):
            changed = _attempt_over(step, ended) | {"next_attempt_time": next_at}
            return changed, Phase.RESTARTING, Problem(ended.reason, f"attempt {old.attempt}: {ended.message}")
        case Finished(result, reason, message, ended):
            return _finished(step, Phase(result), Problem(reason, message), ended)
        case Settled():
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


def _live(step: Step) -> Told:
    old = step.run.status
    stuck = step.outcome.conflict or step.outcome.refused
    if stuck is not None:
        return {}, _not_running(old), stuck
    pods = step.seen.pods_of(old.attempt)
    since = running_since(pods, step.run.spec.num_nodes)
    if since is None and records.running_attempt(old) is None:
        return {}, _not_running(old), why_waiting(pods, step.run.metadata.namespace, step.seen.server)
    changed: dict[str, Any] = {}
    if records.running_attempt(old) is None:
        record = AttemptStatus(number=old.attempt, job=job_name(step.run, old.attempt), start_time=since)
        changed["attempts"] = (*old.attempts, record)[-KEPT_ATTEMPTS:]
        changed["start_time"] = old.start_time or since
        changed |= _digest(old, pods)
    nodes = step.run.spec.num_nodes
    return changed, Phase.RUNNING, Problem("PodsReady", f"{nodes} of {nodes} nodes run" if nodes > 1 else "")


def _digest(old: TrainingRunStatus, pods: tuple[PodView, ...]) -> dict[str, Any]:
    found = next((p.image_id for p in pods if p.image_id), "")
    if not found or old.resolved is None or old.resolved.image_digest:
        return {}
    return {"resolved": old.resolved.model_copy(update={"image_digest": found})}


def _attempt_over(step: Step, ended: Ended) -> dict[str, Any]:
    """Count the attempt and write its story."""
    old = step.run.status
    pods = step.seen.pods_of(old.attempt)
    record = records.running_attempt(old)
    since = record.start_time if record else running_since(pods, step.run.spec.num_nodes)
    ran = max(0, int((ended.at - since).total_seconds())) if since else 0
    story = AttemptStatus(
        number=old.attempt,
        job=job_name(step.run, old.attempt),
        start_time=since,
        end_time=ended.at,
        running_seconds=ran,
        outcome=OUTCOMES[ended.outcome],
        reason=ended.reason[:256],
        exit_code=ended.exit_code,
        pod=ended.pod.name if ended.pod else None,
        node=(ended.pod.node or None) if ended.pod else None,
        counts_as=None if ended.outcome == "Succeeded" else ended.outcome,
    )
    before = tuple(a for a in old.attempts if a.number != old.attempt)
    changed: dict[str, Any] = {
        "attempts": (*before, story)[-KEPT_ATTEMPTS:],
        "running_seconds": old.running_seconds + ran,
        "start_time": old.start_time or since,
        **_digest(old, pods),
    }
    if ended.outcome == "Succeeded":
        return changed | {"failure": None}
    counter = "failures" if ended.outcome == "Failure" else "disruptions"
    changed[counter] = getattr(old, counter) + 1
    changed["failure"] = FailureStatus(
        reason=ended.reason[:256],
        message=ended.message[:MESSAGE_LIMIT],
        exit_code=ended.exit_code,
        pod=story.pod,
        node=story.node,
        log_tail=step.outcome.log_tail or None,
    )
    return changed


def _finished(step: Step, phase: Phase, why: Problem, ended: Ended | None) -> Told:
    changed = _attempt_over(step, ended) if ended is not None else {}
    at = ended.at if ended is not None else step.now
    changed |= {"completion_time": step.run.status.completion_time or at, "next_attempt_time": None}
    return changed, phase, why


def _running(phase: Phase, why: Problem | None) -> dict[str, Says | None]:
    """Conditions that follow from the phase; `why` None leaves all as they are."""
    if why is None:
        return {}
    says: dict[str, Says | None] = {}
    if phase is Phase.RUNNING:
        says["Running"] = Says("True", why.reason, why.message)
    else:
        says["Running"] = Says("False", why.reason, why.message)
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
    if tracked is None:
        return {"progress": _whole(status)} if phase is Phase.SUCCEEDED else {}
    if step.seen.publish_in > 0 and not phase.terminal and phase is step.run.status.phase:
        return {}
    record = records.running_attempt(status)
    ran = status.running_seconds
    if record is not None and record.start_time is not None:
        ran += int((step.now - record.start_time).total_seconds())
    changed = measures.measured(step.run.spec, status, tracked.metrics, ran, step.outcome.best)
    if phase is Phase.SUCCEEDED:
        changed["progress"] = _whole(status.model_copy(update=changed))
    elif changed["metrics"] == status.metrics and step.outcome.best is None:
        return {}  # only the clock moved, and with it the remaining time
    return changed


def _whole(status: TrainingRunStatus) -> Any:
    return measures.complete(status.progress)
