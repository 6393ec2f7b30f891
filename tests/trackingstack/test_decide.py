"""The order of the chain, and when a stack is looked at again; the rules themselves are tested in `policies/`."""

from datetime import timedelta
from typing import Any

import pytest

from runwright.trackingstack.decide import LOOK_AGAIN, LOOK_SOON, ON_ITS_WAY, SLOWLY, decide
from runwright.trackingstack.observed import Failure, Observed, Problem
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import GrowClaim, Install, MakeSecret, OwnSecretBy
from tests.trackingstack.samples import NOW, ago, claim, pod, release, seen, stack, view, workload

OF = stack()
LATER = Failure("no", NOW + timedelta(seconds=7))


def test_a_stack_that_is_as_wanted_is_left_alone() -> None:
    plan = decide(OF, seen(OF), NOW)
    assert (plan.actions, plan.requeue_after) == ((), LOOK_AGAIN)


def test_secrets_come_before_all_else_and_volumes_before_releases() -> None:
    of = stack({"deletionPolicy": "Delete"})
    old = {part: view(of, part, release=release(part, current=False)) for part in (Part.DATABASE, Part.STORE)}
    old[Part.STORE] = view(of, Part.STORE, claim=claim("data-a-object-store-0", "1Gi"), release=old[Part.STORE].release)
    look = seen(of, old)
    few = {name: view for name, view in look.secrets.items() if name != "a-object-store-credentials"}
    assert {type(action) for action in decide(of, seen(of, old, secrets=few), NOW).actions} == {MakeSecret}
    assert {type(action) for action in decide(of, look, NOW).actions} == {OwnSecretBy}
    assert {type(action) for action in decide(OF, look, NOW).actions} == {GrowClaim}


def test_database_and_store_are_installed_side_by_side() -> None:
    absent = {part: view(OF, part, release=None, workload=None) for part in Part}
    plan = decide(OF, seen(OF, absent, answer=None), NOW)
    assert [action.part for action in plan.actions if isinstance(action, Install)] == [Part.DATABASE, Part.STORE]


def test_what_may_not_be_looked_at_is_not_touched() -> None:
    plan = decide(OF, Observed(refused=Problem("RightsMissing")), NOW)
    assert (plan.actions, plan.requeue_after) == ((), LOOK_AGAIN)


def test_a_refusal_is_waited_out_and_keeps_nothing_else_waiting() -> None:
    of = stack({"deletionPolicy": "Delete"})
    old = {Part.DATABASE: view(of, Part.DATABASE, release=release(Part.DATABASE, current=False))}
    plan = decide(of, seen(of, old, failure=LATER), NOW)
    assert {type(action) for action in plan.actions} == {Install}
    plan = decide(of, seen(of, failure=LATER), NOW)
    assert (plan.actions, plan.requeue_after) == ((), 7.0)


STARTING: dict[str, Any] = {"workload": workload("w", ready=0), "pods": (pod(),)}


@pytest.mark.parametrize(
    ("changes", "answer", "expected"),
    [
        ({}, "cannot connect", LOOK_SOON),
        (STARTING, None, ON_ITS_WAY),
        ({"growth_failure": LATER}, "", 7.0),
        ({"growth_failure": Failure("no", NOW + timedelta(seconds=70))}, "", LOOK_AGAIN),
        ({"failure": LATER, "release": release(Part.DATABASE, current=False)}, "", 7.0),
    ],
)
def test_when_it_is_looked_at_again(changes: dict[str, Any], answer: str | None, expected: float) -> None:
    plan = decide(OF, seen(OF, {Part.DATABASE: view(OF, Part.DATABASE, **changes)}, answer=answer), NOW)
    assert (plan.actions, plan.requeue_after) == ((), expected)


def test_pods_that_stay_unready_are_looked_at_less_often() -> None:
    def plan(since: float, generation: int) -> float:
        ready = {
            "type": "Ready",
            "status": "False",
            "reason": "ImagePullBackOff",
            "message": "",
            "lastTransitionTime": ago(since).isoformat(),
            "observedGeneration": 1,
        }
        of = stack({}, {"conditions": [ready]}, generation=generation)
        return decide(of, seen(of, {Part.DATABASE: view(of, Part.DATABASE, **STARTING)}), NOW).requeue_after

    assert plan(60, 1) == ON_ITS_WAY
    assert plan(600, 1) == SLOWLY
    assert plan(600, 2) == ON_ITS_WAY  # the spec was just changed
