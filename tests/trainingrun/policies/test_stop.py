from datetime import timedelta
from typing import Any

import pytest

from runwright.apis.v1alpha1.trainingrun_status import StopStatus
from runwright.trainingrun.plan import Ended, Finished, Stopping
from runwright.trainingrun.policies import stop
from tests.trainingrun.samples import NOW, run

ENOUGH = StopStatus(mode="Finish", reason="Requested", message="good enough", time=NOW)
EARLY = StopStatus(mode="Finish", reason="EarlyStopping", message="acc is 0.99", time=NOW)
CANCEL = StopStatus(mode="Cancel", reason="Requested", time=NOW)


def spec(**fields: Any) -> Any:
    return run(**fields).spec


def test_nothing_is_requested_without_a_stop() -> None:
    assert stop.requested(spec(), None) is None


@pytest.mark.parametrize("mode", ["Finish", "Cancel"])
def test_a_stop_is_requested_once(mode: Any) -> None:
    wanted = spec(stop={"mode": mode, "reason": "why"})
    assert stop.requested(wanted, None) == Stopping(mode, "Requested", "why")
    assert stop.requested(wanted, StopStatus(mode=mode, reason="Requested", time=NOW)) is None


def test_cancelling_overtakes_finishing_and_not_the_other_way_round() -> None:
    assert stop.requested(spec(stop={"mode": "Cancel"}), EARLY) == Stopping("Cancel", "Requested", "spec.stop: Cancel")
    assert stop.requested(spec(stop={"mode": "Finish"}), CANCEL) is None


def test_the_code_has_the_time_that_the_one_who_stops_gives_it() -> None:
    wanted = spec(
        stop={"mode": "Finish", "timeoutSeconds": 30},
        objective={"metric": "acc", "direction": "Maximize"},
        earlyStopping={"patience": 1, "timeoutSeconds": 90},
    )
    assert stop.ends_at(wanted, ENOUGH) == NOW + timedelta(seconds=30)
    assert stop.ends_at(wanted, EARLY) == NOW + timedelta(seconds=90)
    assert stop.ends_at(spec(), EARLY) == NOW  # early stopping was taken out meanwhile


@pytest.mark.parametrize(
    ("asked", "trained", "result", "reason"),
    [
        (ENOUGH, True, "Succeeded", "Stopped"),
        (EARLY, True, "Succeeded", "EarlyStopping"),
        (ENOUGH, False, "Cancelled", "Cancelled"),
        (CANCEL, True, "Cancelled", "Cancelled"),
    ],
)
def test_a_stop_between_attempts(asked: StopStatus, trained: bool, result: str, reason: str) -> None:
    verdict = stop.without_attempt(asked, trained=trained)
    assert (verdict.result, verdict.reason) == (result, reason)


@pytest.mark.parametrize("outcome", ["Succeeded", "Disruption", "Suspended", "Stopped"])
def test_what_was_asked_to_finish_and_ended_has_succeeded(outcome: Any) -> None:
    over = Ended(outcome, "Because", "it ended", NOW)
    assert stop.after(over, ENOUGH) == Finished("Succeeded", "Stopped", "good enough", over)


def test_code_that_fails_while_it_finishes_has_failed() -> None:
    over = Ended("Failure", "AppFailed", "exited with code 3", NOW)
    assert stop.after(over, ENOUGH) == Finished("Failed", "AppFailed", "while it was stopped: exited with code 3", over)
