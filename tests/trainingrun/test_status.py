"""The next status, case by case."""

from typing import Any

import pytest

from runwright.apis.v1alpha1 import Phase, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import ProgressStatus
from runwright.ports import TrackingServer
from runwright.trainingrun.decide import decide
from runwright.trainingrun.observed import Problem
from runwright.trainingrun.plan import Begun, CreateRun, Outcome, Plan
from runwright.trainingrun.status import Step, next_status, run_url
from tests.trainingrun.samples import (
    NOW,
    OPTIONS,
    RUNNING,
    SERVER,
    STARTING,
    TRACKING,
    ago,
    failed_job,
    failed_pod,
    job,
    metric,
    pod,
    run,
    running_pod,
    seen,
    told,
    tracked,
)

MADE = Outcome(run=tracked())
CLOSED = Outcome(run=tracked(), closed=True)


def after(status: dict[str, Any] | None, *views: Any, outcome: Outcome | None = None, **more: Any) -> TrainingRunStatus:
    """Decide and tell; `world` holds what else is seen, the rest is spec."""
    made = run(status, generation=more.pop("generation", 1), **more.pop("spec", {}))
    observed = seen(*views, **more)
    plan = decide(made, observed, OPTIONS, NOW)
    return next_status(Step(made, observed, plan, outcome or Outcome(), OPTIONS, NOW))


def says(status: TrainingRunStatus, kind: str) -> tuple[str, str, str] | None:
    found = next((c for c in status.conditions if c.type == kind), None)
    return (found.status, found.reason, found.message) if found else None


def test_the_first_status_marks_that_the_run_is_being_made() -> None:
    new = after(None)
    assert (new.phase, new.observed_generation) == (Phase.PENDING, 1)
    assert says(new, "TrackingAvailable") == ("Unknown", "CreatingRun", "the MLflow run is being created")
    assert says(new, "Running") == ("False", "WaitingForTracking", "its MLflow run is being created")
    assert says(new, "Reconciling") == ("True", "Pending", "")


def test_the_run_and_the_attempt_are_told_together() -> None:
    marked = {"phase": "Pending", "conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}
    new = after(marked, outcome=MADE)
    assert (new.phase, new.attempt) == (Phase.STARTING, 1)
    assert new.tracking is not None
    assert new.tracking.to_dict() == {
        "experimentId": "1",
        "experiment": "team-a",
        "runId": "run1",
        "url": "https://mlflow.example/#/experiments/1/runs/run1",
    }
    assert says(new, "TrackingAvailable") == ("True", "RunCreated", "")
    assert new.resolved is not None
    assert new.resolved.image == "trainer:1"


def test_a_tracker_that_refuses_is_quoted() -> None:
    marked = {"phase": "Pending", "conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}
    new = after(marked, outcome=Outcome(tracker_refusal="the experiment is deleted; restore it"))
    assert (new.phase, new.attempt) == (Phase.PENDING, 0)
    assert says(new, "TrackingAvailable") == ("False", "Refused", "the experiment is deleted; restore it")


def test_an_outage_keeps_its_first_words_until_the_breaker_has_better_ones() -> None:
    pending = {"phase": "Pending", "conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}
    first = after(pending, outcome=Outcome(tracker_problem="HTTP 503"))
    assert says(first, "TrackingAvailable") == ("False", "ServerUnreachable", "HTTP 503")
    second = after(first.to_dict(), outcome=Outcome(tracker_problem="cannot connect"))
    assert second == first
    third = after(first.to_dict(), outcome=Outcome(tracker_problem="x"), tracker_problem="no answer within 10 s")
    assert says(third, "TrackingAvailable") == ("False", "ServerUnreachable", "no answer within 10 s")


def test_an_answer_outweighs_a_breaker_that_was_open_before() -> None:
    new = after(RUNNING, job(result="Complete", ended=NOW), outcome=CLOSED, tracker_problem="cannot connect")
    assert says(new, "TrackingAvailable") == ("True", "RunClosed", "the MLflow run has its terminal state")


def test_what_keeps_pods_from_running_is_told() -> None:
    new = after(STARTING, job(), pod(unschedulable="0/3 nodes"))
    assert new.phase is Phase.STARTING
    assert says(new, "Running") == ("False", "Unschedulable", "node 0: 0/3 nodes")


@pytest.mark.parametrize("kind", ["conflict", "refused"])
def test_what_keeps_children_from_being_made_is_told(kind: str) -> None:
    problem = Problem("NameConflict", "somebody else's")
    outcome = Outcome(conflict=problem) if kind == "conflict" else Outcome(refused=problem)
    new = after(STARTING, outcome=outcome)
    assert says(new, "Running") == ("False", "NameConflict", "somebody else's")
    assert new.phase is Phase.STARTING


def test_all_nodes_must_run() -> None:
    two = {"numNodes": 2, "command": ["x"]}
    assert after(STARTING, job(), running_pod(0), pod(1), spec=two).phase is Phase.STARTING
    new = after(STARTING, job(), running_pod(0, since=9), running_pod(1, since=5), spec=two)
    assert new.phase is Phase.RUNNING
    assert says(new, "Running") == ("True", "PodsReady", "2 of 2 nodes run")
    assert says(new, "Ready") == ("True", "Running", "")
    assert [(a.number, a.start_time) for a in new.attempts] == [(1, ago(5))]
    assert new.start_time == ago(5)


def test_the_digest_of_the_image_is_kept() -> None:
    status = STARTING | {"resolved": {"image": "trainer:1"}}
    new = after(status, job(), running_pod(image_id="trainer@sha256:1"))
    assert new.resolved is not None
    assert new.resolved.image_digest == "trainer@sha256:1"


def test_a_success_tells_all_at_once() -> None:
    done = job(result="Complete", ended=ago(10))
    new = after(RUNNING | {"progress": {"percentage": 40, "step": 2, "totalSteps": 5}}, done, outcome=CLOSED)
    assert (new.phase, new.completion_time, new.running_seconds) == (Phase.SUCCEEDED, ago(10), 50)
    assert new.progress == ProgressStatus(percentage=100, step=2, total_steps=5)
    (attempt,) = new.attempts
    assert (attempt.outcome, attempt.end_time, attempt.running_seconds, attempt.counts_as) == (
        "Succeeded",
        ago(10),
        50,
        None,
    )
    assert says(new, "Complete") == ("True", "Succeeded", "all nodes exited with 0")
    assert says(new, "Running") == ("False", "Succeeded", "all nodes exited with 0")
    assert says(new, "TrackingAvailable") == ("True", "RunClosed", "the MLflow run has its terminal state")


def test_a_failure_that_is_tried_again_is_counted_and_told() -> None:
    new = after(RUNNING, failed_job(), failed_pod(), spec={"retry": {"maxFailures": 1}}, outcome=Outcome(log_tail="no"))
    assert (new.phase, new.failures, new.attempt) == (Phase.RESTARTING, 1, 1)
    assert new.next_attempt_time is not None
    assert new.failure is not None
    assert (new.failure.reason, new.failure.exit_code, new.failure.log_tail) == ("AppFailed", 3, "no")
    assert new.attempts[0].counts_as == "Failure"
    assert says(new, "Reconciling") == ("True", "Restarting", "")


def test_the_last_failure_ends_the_run() -> None:
    new = after(RUNNING, failed_job(), failed_pod(), outcome=CLOSED)
    assert new.phase is Phase.FAILED
    assert says(new, "Failed") is not None
    assert says(new, "Stalled") == says(new, "Failed")
    assert says(new, "Complete") is None


def test_the_end_of_an_attempt_that_was_never_seen_running_is_counted_too() -> None:
    new = after(STARTING, failed_job(), failed_pod(since=8))
    assert [(a.number, a.running_seconds) for a in new.attempts] == [(1, 8)]
    assert new.start_time == ago(8)


def test_ten_attempts_are_remembered_and_all_are_counted() -> None:
    old = [{"number": n, "endTime": "2026-01-01T11:00:00Z", "outcome": "Failed"} for n in range(1, 11)]
    status = RUNNING | {"attempt": 11, "attempts": old, "failures": 10, "runningSeconds": 100}
    new = after(status, failed_job(11), failed_pod(0, 11, since=5), spec={"retry": {"maxFailures": 99}})
    assert [a.number for a in new.attempts] == list(range(2, 12))
    assert (new.failures, new.running_seconds) == (11, 105)


def test_a_node_without_its_gpu_does_not_break_the_status() -> None:
    lost = failed_pod(code=None, reason="OutOfnvidia.com/gpu", message="no gpu", finished=None)
    new = after(RUNNING, failed_job(reason="BackoffLimitExceeded"), lost)
    assert new.phase is Phase.RESTARTING
    assert says(new, "Running") == ("False", "OutOfnvidiacomgpu", "attempt 1: no gpu")


def test_the_end_is_for_ever() -> None:
    done = {"phase": "Failed", "attempt": 1, "tracking": TRACKING, "conditions": [told("Failed", "True", "AppFailed")]}
    new = after(done, job(), running_pod())
    assert (new.phase, says(new, "Failed")) == (Phase.FAILED, ("True", "AppFailed", ""))


def test_a_closed_run_stays_closed_whatever_becomes_of_its_stack() -> None:
    done = {"phase": "Succeeded", "attempt": 1, "tracking": TRACKING, "progress": {"percentage": 100}}
    status = done | {"conditions": [told("TrackingAvailable", "True", "RunClosed")], "observedGeneration": 1}
    problem = Problem("StackNotFound", "gone")
    assert after(status, server=None, server_problem=problem) == run(status).status
    assert after(status, tracker_problem="away") == run(status).status


def test_an_upload_that_failed_keeps_the_run_to_be_closed_again() -> None:
    outcome = Outcome(run=tracked(), closed=True, tracker_problem="the object store is away")
    new = after(RUNNING, job(result="Complete", ended=NOW), outcome=outcome)
    assert says(new, "TrackingAvailable") == ("False", "ServerUnreachable", "the object store is away")


def test_a_run_deleted_in_mlflow_is_told() -> None:
    new = after(RUNNING, job(), running_pod(), tracked=tracked(deleted=True))
    found = says(new, "TrackingAvailable")
    assert found is not None
    assert found[:2] == ("False", "RunDeleted")


def test_metrics_wait_for_their_time() -> None:
    points = {"loss": metric("loss", 0.5, 1)}
    view = tracked(metrics=points)
    assert after(RUNNING, job(), running_pod(), tracked=view, publish_in=2.0).metrics == ()
    assert [m.name for m in after(RUNNING, job(), running_pod(), tracked=view).metrics] == ["loss"]
    done = job(result="Complete", ended=NOW)
    assert [m.name for m in after(RUNNING, done, tracked=view, publish_in=2.0).metrics] == ["loss"]


def test_the_clock_alone_changes_nothing() -> None:
    view = tracked(metrics={"progress": metric("progress", 0.5, 1)})
    first = after(RUNNING, job(), running_pod(), tracked=view)
    assert first.progress is not None
    assert first.progress.estimated_remaining_seconds == 60
    later = run(first.to_dict())
    plan = Plan(Begun(1))
    assert plan.verdict == Begun(1)
    observed = seen(job(), running_pod(), tracked=view)
    step = Step(later, observed, decide(later, observed, OPTIONS, ago(-300)), Outcome(), OPTIONS, ago(-300))
    assert next_status(step) == later.status


def test_addresses_prefer_the_one_for_people_and_fit_the_api() -> None:
    assert run_url(TrackingServer("http://in"), "1", "r") == "http://in/#/experiments/1/runs/r"
    marked = {"conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}
    long = TrackingServer("http://in", "https://" + "x" * 2040)
    after(marked, outcome=MADE, server=long)


def test_the_generation_is_observed() -> None:
    assert after(RUNNING, job(), running_pod(), generation=7).observed_generation == 7


def test_samples_know_the_server() -> None:
    plan = decide(run({"conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}), seen(), OPTIONS, NOW)
    assert isinstance(plan.actions[0], CreateRun)
    assert seen().server == SERVER
