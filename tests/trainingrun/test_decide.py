"""Each member of the chain: what it decides, and what it leaves to the next."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runwright.ports import Kind
from runwright.trainingrun import beginning, ending, running
from runwright.trainingrun.case import Case
from runwright.trainingrun.decide import CHAIN, decide
from runwright.trainingrun.observed import JobView, Observed, PodView, Problem
from runwright.trainingrun.plan import (
    BackingOff,
    Begun,
    CloseRun,
    Create,
    CreateRun,
    DeleteJob,
    Finished,
    Follow,
    Live,
    LogParams,
    Marked,
    Plan,
    ReadLogTail,
    Restarting,
    SetTags,
    Settled,
    UploadLogs,
    Waiting,
)
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

Member = Callable[[Case], Plan | None]
UNTRACKED = replace(OPTIONS, tracking=False)
DONE = {"phase": "Succeeded", "attempt": 1, "tracking": TRACKING, "completionTime": "2026-01-01T11:59:00Z"}
CLOSED = DONE | {"conditions": [told("TrackingAvailable", "True", "RunClosed")]}
BACKOFF = STARTING | {"phase": "Restarting", "nextAttemptTime": "2026-01-01T12:00:30Z"}


def case(
    status: dict[str, Any] | None = None,
    *views: JobView | PodView,
    options: Any = OPTIONS,
    world: dict[str, Any] | None = None,
    **spec: Any,
) -> Case:
    made = run(status, **spec)
    return Case(made, made.status, seen(*views, **(world or {})), options, NOW)


def kinds(plan: Plan | None) -> list[str]:
    assert plan is not None
    return [type(action).__name__ for action in plan.actions]


PASSES: list[tuple[Member, Case]] = [
    (ending.settle, case(RUNNING, job())),
    (ending.settle, case()),
    (ending.end_strays, case(RUNNING, job())),
    (ending.end_strays, case(RUNNING | {"attempt": 2}, failed_job(1), job(2))),
    (beginning.create_mlflow_run, case(STARTING)),
    (beginning.create_mlflow_run, case(options=UNTRACKED)),
    (beginning.begin_first_attempt, case(STARTING)),
    (beginning.wait_between_attempts, case(STARTING)),
    (beginning.create_job, case(STARTING, job())),
    (running.end_attempt, case(STARTING)),
    (running.end_attempt, case(RUNNING, job())),
    (running.enforce_deadline, case(RUNNING, job(), running_pod(), activeDeadlineSeconds=61)),
    (running.enforce_deadline, case(RUNNING, job(), running_pod(since=10_000))),
    (running.enforce_deadline, case(STARTING, job(), pod(), activeDeadlineSeconds=1)),
]


@pytest.mark.parametrize(("member", "at"), PASSES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_member_with_nothing_to_say_passes(member: Member, at: Case) -> None:
    assert member(at) is None


def test_the_chain_is_in_the_order_of_a_life() -> None:
    assert [member.__name__ for member in CHAIN] == [
        "keep_hands_off",
        "settle",
        "end_strays",
        "note_stop",
        "stop_at_once",
        "hold",
        "enforce_pending_deadline",
        "reuse_recorded",
        "create_mlflow_run",
        "begin_first_attempt",
        "wait_between_attempts",
        "create_job",
        "end_attempt",
        "follow_queue",
        "enforce_deadline",
        "give_up_lost_nodes",
        "let_go_of_half_a_gang",
        "finish",
        "end_silence",
        "stop_early",
        "follow",
    ]


# ---------------------------------------------------------------------------------------------------- settle


def test_a_finished_run_is_closed_when_no_pod_remains() -> None:
    plan = ending.settle(case(DONE, job(result="Complete", ended=ago(10)), failed_pod()))
    assert plan is not None
    assert plan.verdict == Settled()
    upload, close = plan.actions
    assert isinstance(upload, UploadLogs)
    assert isinstance(close, CloseRun)
    assert (close.status, close.end_time, close.tags) == ("FINISHED", ago(60), {})


def test_pods_that_remain_are_waited_for() -> None:
    plan = ending.settle(case(DONE, running_pod()))
    assert plan == Plan(Settled(), requeue_after=30.0)


def test_a_closed_run_is_not_closed_again() -> None:
    assert ending.settle(case(CLOSED)) == Plan(Settled())


def test_a_finished_run_deletes_what_still_runs() -> None:
    plan = ending.settle(case(CLOSED, job(), running_pod()))
    assert plan is not None
    assert plan.actions == (DeleteJob("mnist-0a1b2c3d-1", "job-1"),)


def test_jobs_of_a_finished_run_go_in_time() -> None:
    early = case(CLOSED, job(result="Complete", ended=ago(10)), podsTTLSecondsAfterFinished=60)
    assert ending.settle(early) == Plan(Settled(), requeue_after=50.0)
    due = case(CLOSED, job(result="Complete", ended=ago(70)), podsTTLSecondsAfterFinished=60)
    assert ending.settle(due) == Plan(Settled(), (DeleteJob("mnist-0a1b2c3d-1", "job-1"),))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
@pytest.mark.parametrize("views", [(), (job(),), (failed_job(), failed_pod()), (running_pod(),)])
def test_nothing_is_ever_made_after_the_end(phase: str, views: tuple[Any, ...]) -> None:
    plan = decide(run(DONE | {"phase": phase}), seen(*views), OPTIONS, NOW)
    assert not [a for a in plan.actions if isinstance(a, Create | CreateRun)]
    assert not plan.again


# ---------------------------------------------------------------------------------------------------- before pods


def test_an_old_attempts_job_that_appears_late_is_ended() -> None:
    plan = ending.end_strays(case(RUNNING | {"attempt": 2}, job(1), job(2)))
    assert plan == Plan(Settled(), (DeleteJob("mnist-0a1b2c3d-1", "job-1"),), requeue_after=1.0)


def test_a_missing_stack_is_waited_for() -> None:
    problem = Problem("StackNotFound", "there is none")
    at = case(world={"server": None, "server_problem": problem})
    assert beginning.create_mlflow_run(at) == Plan(Waiting(problem), requeue_after=5.0)


def test_the_mark_comes_before_the_run() -> None:
    assert beginning.create_mlflow_run(case()) == Plan(Marked(), again=True)


@pytest.mark.parametrize("before", [True, False])
def test_a_marked_run_is_made_and_searched_for_when_it_may_exist(before: bool) -> None:
    marked = {"conditions": [told("TrackingAvailable", "Unknown", "CreatingRun")]}
    plan = beginning.create_mlflow_run(case(marked, world={"created_before": before}))
    assert plan is not None
    (create,) = plan.actions
    assert isinstance(create, CreateRun)
    assert (create.search_first, plan.verdict, plan.again) == (before, Begun(1), True)


def test_without_tracking_the_first_attempt_begins_at_once() -> None:
    assert decide(run(), seen(server=None), UNTRACKED, NOW) == Plan(Begun(1), again=True)


def test_the_back_off_is_kept() -> None:
    assert beginning.wait_between_attempts(case(BACKOFF)) == Plan(BackingOff(), requeue_after=30.0)


def test_after_it_the_next_attempt_begins_when_no_old_pod_remains() -> None:
    due = BACKOFF | {"nextAttemptTime": "2026-01-01T12:00:00Z"}
    assert beginning.wait_between_attempts(case(due)) == Plan(Begun(2), again=True)
    assert beginning.wait_between_attempts(case(due, running_pod())) == Plan(BackingOff(), requeue_after=30.0)
    assert beginning.wait_between_attempts(case(due, failed_job(), running_pod())) == Plan(Begun(2), again=True)


def test_the_job_comes_last_and_the_parameters_after_it() -> None:
    at = case(
        STARTING,
        numNodes=2,
        command=["x"],
        source={"inline": {"files": {"a": "b"}}},
        parameters={"lr": "0.1"},
    )
    plan = beginning.create_job(at)
    assert kinds(plan) == ["Create", "Create", "Create", "LogParams", "Follow"]
    assert plan is not None
    made = [action.kind for action in plan.actions if isinstance(action, Create)]
    assert made == [Kind.CONFIG_MAP, Kind.SERVICE, Kind.JOB]


def test_authorities_are_there_before_the_job() -> None:
    server = replace(SERVER, uri="https://mlflow:5000", ca_bundle="PEM")
    plan = beginning.create_job(case(STARTING, world={"server": server}))
    assert plan is not None
    made = [action for action in plan.actions if isinstance(action, Create)]
    assert [action.kind for action in made] == [Kind.CONFIG_MAP, Kind.JOB]
    assert made[0].manifest["data"] == {"ca.crt": "PEM"}


def test_a_later_attempt_tells_its_number() -> None:
    plan = beginning.create_job(case(STARTING | {"attempt": 2}))
    assert plan is not None
    assert plan.actions[1:] == (SetTags("run1", {"runwright.attempt": "2"}), Follow("run1"))


def test_missing_code_is_waited_for() -> None:
    problem = Problem("SourceNotFound", "no ConfigMap")
    plan = beginning.create_job(case(STARTING, world={"source_problem": problem}))
    assert plan == Plan(Waiting(problem), requeue_after=5.0)


def test_a_job_that_vanished_while_it_ran_is_a_disruption() -> None:
    plan = beginning.create_job(case(RUNNING, running_pod()))
    assert plan is not None
    assert isinstance(plan.verdict, Restarting)
    assert (plan.verdict.ended.outcome, plan.verdict.ended.reason) == ("Disruption", "JobDeleted")


def test_pods_of_a_job_that_vanished_before_it_ran_are_waited_for() -> None:
    assert beginning.create_job(case(STARTING, pod())) == Plan(Live(), requeue_after=30.0)


# ---------------------------------------------------------------------------------------------------- running


def test_a_success_closes_the_run_in_the_same_pass() -> None:
    done = job(result="Complete", ended=ago(5))
    plan = running.end_attempt(case(RUNNING, done, failed_pod(phase="Succeeded", code=0)))
    assert kinds(plan) == ["UploadLogs", "CloseRun"]
    assert plan is not None
    assert isinstance(plan.verdict, Finished)
    assert plan.verdict.result == "Succeeded"
    close = plan.actions[-1]
    assert isinstance(close, CloseRun)
    assert (close.status, close.end_time) == ("FINISHED", ago(5))


def test_a_failure_reads_the_log_first() -> None:
    bad = failed_pod()
    plan = running.end_attempt(case(RUNNING, failed_job(), bad))
    assert kinds(plan) == ["ReadLogTail", "UploadLogs", "CloseRun"]
    assert plan is not None
    assert plan.actions[0] == ReadLogTail(bad.name)
    close = plan.actions[-1]
    assert isinstance(close, CloseRun)
    assert (close.status, close.tags) == ("FAILED", {"runwright.reason": "AppFailed"})


def test_a_failure_that_is_tried_again_keeps_the_run_open() -> None:
    plan = running.end_attempt(case(RUNNING, failed_job(), failed_pod(), retry={"maxFailures": 1}))
    assert kinds(plan) == ["ReadLogTail", "UploadLogs"]
    assert plan is not None
    assert isinstance(plan.verdict, Restarting)
    assert plan.verdict.next_at == NOW + timedelta(seconds=10)


def test_the_log_stays_unread_where_it_may_not_be_shown() -> None:
    at = case(RUNNING, failed_job(), failed_pod(), options=replace(OPTIONS, log_tail=False))
    assert "ReadLogTail" not in kinds(running.end_attempt(at))


def test_the_objectives_history_is_read_at_the_end() -> None:
    done = job(result="Complete", ended=NOW)
    plan = running.end_attempt(case(RUNNING, done, objective={"metric": "acc", "direction": "Maximize"}))
    assert plan is not None
    assert isinstance(plan.actions[-1], CloseRun)
    assert plan.actions[-1].history_of == "acc"


def test_a_deadline_fails_the_run_and_leaves_the_job_to_the_next_step() -> None:
    plan = running.enforce_deadline(case(RUNNING, job(), running_pod(since=61), activeDeadlineSeconds=60))
    assert kinds(plan) == ["UploadLogs"]
    assert plan is not None
    assert isinstance(plan.verdict, Finished)
    assert (plan.verdict.result, plan.verdict.reason, plan.again) == ("Failed", "DeadlineExceeded", True)
    assert "activeDeadlineSeconds: 60" in plan.verdict.message


def test_a_live_run_is_followed_until_its_deadline() -> None:
    plan = running.follow(case(RUNNING, job(), running_pod(), activeDeadlineSeconds=110))
    assert plan == Plan(Live(), (Follow("run1"),), requeue_after=50.0)


def test_metrics_that_wait_are_looked_at_again() -> None:
    plan = running.follow(case(RUNNING, job(), running_pod(), world={"publish_in": 3.0}))
    assert plan is not None
    assert plan.requeue_after == 3.0


def test_parameters_and_tags_that_are_missing_are_brought() -> None:
    at = case(
        RUNNING,
        job(),
        world={"tracked": tracked(params={"a": "script's"}, metrics={"x": metric("x", 1)})},
        parameters={"a": "1", "b": "2"},
        tracking={"tags": {"team": "vision"}},
    )
    plan = running.follow(at)
    assert plan is not None
    assert plan.actions == (Follow("run1"), LogParams("run1", {"b": "2"}), SetTags("run1", {"team": "vision"}))


def test_a_run_deleted_in_mlflow_is_not_written_to() -> None:
    at = case(RUNNING, job(), world={"tracked": tracked(deleted=True)}, parameters={"a": "1"})
    plan = running.follow(at)
    assert plan is not None
    assert plan.actions == (Follow("run1"),)


def test_without_a_server_nothing_is_followed() -> None:
    at = case(RUNNING, job(), running_pod(), world={"server": None})
    assert running.follow(at) == Plan(Live())


def test_observations_are_values() -> None:
    assert isinstance(seen(), Observed)
    assert seen(job()) == seen(job())
