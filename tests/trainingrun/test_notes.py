from runwright.apis.v1alpha1 import Phase, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import AttemptStatus, FailureStatus, TrackingStatus
from runwright.trainingrun.notes import notes
from tests.trainingrun.samples import NOW, condition

TRACKED = TrackingStatus(run_id="run1", experiment="team-a")


def said(old: TrainingRunStatus, new: TrainingRunStatus) -> list[tuple[str, str, str]]:
    return [(note.type, note.reason, note.message) for note in notes(old, new)]


def test_the_mlflow_run_is_announced_once() -> None:
    new = TrainingRunStatus(tracking=TRACKED)
    assert said(TrainingRunStatus(), new) == [("Normal", "RunCreated", "MLflow run run1 in experiment team-a")]
    assert said(new, new) == []


def test_running_and_succeeding_are_announced() -> None:
    running = TrainingRunStatus(phase=Phase.RUNNING, attempt=2)
    done = TrainingRunStatus(phase=Phase.SUCCEEDED, attempt=2, running_seconds=90)
    assert said(TrainingRunStatus(phase=Phase.STARTING), running) == [("Normal", "Running", "attempt 2 is running")]
    assert said(running, done) == [("Normal", "Succeeded", "succeeded in 90 s")]
    assert said(running, running) == []


def test_the_end_of_an_attempt_is_a_warning_with_its_cause() -> None:
    open_ = TrainingRunStatus(phase=Phase.RUNNING, attempts=(AttemptStatus(number=1),))
    over = AttemptStatus(number=1, end_time=NOW, outcome="Failed", reason="OOMKilled")
    new = TrainingRunStatus(
        phase=Phase.RESTARTING, attempts=(over,), failure=FailureStatus(reason="OOMKilled", message="too much memory")
    )
    assert said(open_, new) == [("Warning", "OOMKilled", "attempt 1: too much memory")]
    assert said(new, new) == []


def test_an_attempt_that_succeeded_is_no_warning() -> None:
    over = AttemptStatus(number=1, end_time=NOW, outcome="Succeeded")
    assert said(TrainingRunStatus(), TrainingRunStatus(attempts=(over,))) == []


def test_an_obstacle_is_told_once_per_reason() -> None:
    before = TrainingRunStatus(phase=Phase.STARTING, conditions=(condition("Running", "False", "Initializing"),))
    stuck = condition("Running", "False", "Unschedulable", "0/3 nodes")
    other = condition("Running", "False", "Unschedulable", "0/4 nodes")
    first = TrainingRunStatus(phase=Phase.STARTING, conditions=(stuck,))
    assert said(before, first) == [("Warning", "Unschedulable", "0/3 nodes")]
    assert said(first, TrainingRunStatus(phase=Phase.STARTING, conditions=(other,))) == []


def test_ordinary_waiting_is_not_worth_an_event() -> None:
    for reason in ("Initializing", "WaitingForTracking"):
        new = TrainingRunStatus(phase=Phase.STARTING, conditions=(condition("Running", "False", reason),))
        assert said(TrainingRunStatus(), new) == []
