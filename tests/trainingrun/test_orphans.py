import pytest

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.ports import OrphanVerdict
from runwright.trainingrun.orphans import judge
from tests.trainingrun.samples import RUNNING, TRACKING, told, tracked

CLOSED = [told("TrackingAvailable", "True", "RunClosed")]
OPEN = [told("TrackingAvailable", "True", "RunCreated")]
FAILED = [told("Failed", "True", "OOMKilled"), *OPEN]


@pytest.mark.parametrize(
    ("status", "news", "busy", "verdict"),
    [
        (RUNNING, False, True, "leave"),
        (RUNNING, True, True, "reconcile"),
        ({}, False, False, "leave"),
        ({"phase": "Pending"}, False, False, "leave"),
        ({"phase": "Succeeded", "tracking": TRACKING, "conditions": OPEN}, False, False, "reconcile"),
        ({"phase": "Failed", "tracking": TRACKING, "conditions": FAILED}, False, True, "reconcile"),
        ({"phase": "Succeeded", "tracking": TRACKING, "conditions": CLOSED}, False, False, "FINISHED"),
        ({"phase": "Failed", "tracking": TRACKING, "conditions": CLOSED}, False, False, "FAILED"),
        ({"phase": "Succeeded", "tracking": TRACKING, "conditions": CLOSED}, False, True, "wait"),
        (RUNNING | {"tracking": TRACKING | {"runId": "another"}}, False, True, "KILLED"),
    ],
)
def test_a_running_mlflow_run_is_judged_by_its_training_run(
    status: dict[str, object], news: bool, busy: bool, verdict: OrphanVerdict
) -> None:
    assert judge(tracked(), TrainingRunStatus.from_dict(status), news=news, busy=busy) == verdict


def test_an_ended_run_above_running_ones_keeps_its_state() -> None:
    done = TrainingRunStatus.from_dict({"phase": "Failed", "tracking": TRACKING, "conditions": OPEN})
    assert judge(tracked(status="FAILED"), done, news=False, busy=False) == "FAILED"


def test_children_of_a_run_that_its_script_ended_early_are_left_alone() -> None:
    assert judge(tracked(status="FINISHED"), TrainingRunStatus.from_dict(RUNNING), news=False, busy=True) == "leave"
