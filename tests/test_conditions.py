"""Conditions, and what kstatus makes of them."""

from typing import Any, get_args

import pytest

from runwright.apis.v1alpha1 import Condition, Phase
from runwright.conditions import ORDER, Says, as_reason, merge
from runwright.trainingrun.conditions import kstatus
from tests.trainingrun.samples import NOW, ago, condition


def computed(obj: dict[str, Any]) -> str:
    """Port of ``status.Compute`` (sigs.k8s.io/cli-utils, pkg/kstatus/status) for a kind without rules of its own."""
    meta, status = obj["metadata"], obj.get("status", {})
    if meta.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != meta["generation"]:
        return "InProgress"
    for one in status.get("conditions", ()):
        if one["type"] == "Reconciling" and one["status"] == "True":
            return "InProgress"
        if one["type"] == "Stalled" and one["status"] == "True":
            return "Failed"
    for one in status.get("conditions", ()):
        if one["type"] == "Ready":
            return "Current" if one["status"] == "True" else "InProgress"
    return "Current"


EXPECTED = {
    Phase.PENDING: "InProgress",
    Phase.QUEUED: "InProgress",
    Phase.STARTING: "InProgress",
    Phase.RESTARTING: "InProgress",
    Phase.RUNNING: "Current",
    Phase.SUSPENDED: "Current",
    Phase.SUCCEEDED: "Current",
    Phase.FAILED: "Failed",
    Phase.CANCELLED: "Failed",
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("before", list(Phase))
def test_kstatus_reads_every_phase_whatever_came_before(before: Phase, phase: Phase) -> None:
    old = merge((), kstatus(before, "Before", "it was so"), 1, ago(60))
    now = merge(old, kstatus(phase, "Why", "because"), 1, NOW)
    status = {"observedGeneration": 1, "conditions": [c.to_dict() for c in now]}
    assert computed({"metadata": {"generation": 1}, "status": status}) == EXPECTED[phase]
    assert {c.type for c in now if c.type != "Ready"} == (
        {"Reconciling"} if EXPECTED[phase] == "InProgress" else {"Stalled"} if EXPECTED[phase] == "Failed" else set()
    )


def test_kstatus_waits_for_what_nobody_has_looked_at() -> None:
    fresh = {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}
    assert computed(fresh) == "InProgress"


def test_a_condition_that_says_the_same_stays_as_it_is() -> None:
    old = (condition("Running", "True", "PodsReady", "2 of 2"),)
    assert merge(old, {"Running": Says("True", "PodsReady", "2 of 2")}, 5, NOW) == old


def test_a_new_reason_keeps_the_transition_time() -> None:
    (new,) = merge(
        (condition("Running", "False", "Initializing"),), {"Running": Says("False", "Unschedulable")}, 2, NOW
    )
    assert (new.reason, new.last_transition_time, new.observed_generation) == ("Unschedulable", ago(500), 2)


def test_a_new_status_is_a_transition() -> None:
    (new,) = merge((condition("Running", "False"),), {"Running": Says("True", "PodsReady")}, 2, NOW)
    assert new.last_transition_time == NOW


def test_none_takes_a_condition_away_and_what_is_not_named_stays() -> None:
    old = (condition("Reconciling"), condition("Ready"))
    assert merge(old, {"Reconciling": None, "Stalled": None}, 1, NOW) == (condition("Ready"),)


def test_the_order_is_always_the_same() -> None:
    wanted = {kind: Says("True", "Because") for kind in reversed(ORDER)}
    assert tuple(c.type for c in merge((), wanted, 1, NOW)) == ORDER


def test_a_long_message_is_cut_and_then_stays_as_it_is() -> None:
    says = {"Running": Says("False", "Why", "x" * 5000)}
    first = merge((), says, 1, ago(5))
    assert len(first[0].message) == 1024
    assert merge(first, says, 2, NOW) == first


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OOMKilled", "OOMKilled"),
        ("OutOfnvidia.com/gpu", "OutOfnvidiacomgpu"),
        ("3 strikes", "strikes"),
        ("", "Unknown"),
        ("…", "Unknown"),
        ("A" * 300, "A" * 256),
    ],
)
def test_reasons_of_others_are_brought_to_the_form_of_conditions(text: str, reason: str) -> None:
    assert as_reason(text) == reason
    Condition(type="Running", status="False", reason=as_reason(text), message="", last_transition_time=NOW)


def test_statuses_are_those_of_the_api() -> None:
    assert set(get_args(Condition.model_fields["status"].annotation)) == {"True", "False", "Unknown"}
