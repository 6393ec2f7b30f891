from typing import Any

from runwright.ports import Key
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import DeletePod
from runwright.trackingstack.policies.rollout import stuck
from tests.trackingstack.samples import pod, release, stack, view, workload

OF = stack()


def deletes(*pods: Any, **changes: Any) -> tuple[DeletePod, ...]:
    return stuck(view(OF, Part.DATABASE, pods=pods, **changes), "team-a")


def test_a_broken_pod_of_an_old_revision_goes() -> None:
    assert deletes(pod(revision="old")) == (DeletePod(Key("team-a", "a-postgresql-0"), "a-postgresql-0-uid"),)


def test_no_other_pod_does() -> None:
    assert deletes(pod()) == ()
    assert deletes(pod(revision="old", ready=True)) == ()
    assert deletes(pod(revision="old", deleting=True)) == ()
    assert deletes(pod(revision="")) == ()


def test_not_before_the_correction_is_there() -> None:
    old = pod(revision="old")
    assert deletes(old, release=release(Part.DATABASE, current=False)) == ()
    assert deletes(old, release=None) == ()
    assert deletes(old, workload=workload("w", settled=False)) == ()
    assert deletes(old, workload=workload("w", deleting=True)) == ()
    assert deletes(old, workload=workload("w", revision="")) == ()
    assert deletes(old, workload=None) == ()
