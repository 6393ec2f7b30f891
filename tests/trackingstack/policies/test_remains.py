from runwright.trackingstack.parts import Part
from runwright.trackingstack.policies.remains import remains
from runwright.trackingstack.values import owner_reference
from tests.trackingstack.samples import claim, own_secrets, seen, stack, view, workload

OF = stack()


def test_a_stack_that_stands_alone_waits_for_nothing() -> None:
    assert all(remains(OF, seen(OF), part) is None for part in Part)


def test_secrets_of_an_earlier_stack_are_waited_for() -> None:
    earlier = {**owner_reference(OF), "uid": "earlier"}
    problem = remains(OF, seen(OF, secrets=own_secrets(OF, (earlier,))), Part.STORE)
    assert problem is not None
    assert problem.reason == "WaitingForDeletion"
    assert "Secret a-postgresql-credentials, Secret a-object-store-credentials" in problem.message
    both = own_secrets(OF, (earlier, owner_reference(OF)))
    assert remains(OF, seen(OF, secrets=both), Part.STORE) is None


def test_a_workload_that_is_going_is_waited_for() -> None:
    going = view(OF, Part.DATABASE, workload=workload("a-postgresql", deleting=True))
    problem = remains(OF, seen(OF, {Part.DATABASE: going}), Part.DATABASE)
    assert problem is not None
    assert problem.message == "StatefulSet a-postgresql is being deleted"


def test_a_claim_that_goes_with_its_stateful_set_is_waited_for() -> None:
    owner = {"kind": "StatefulSet", "uid": "a-postgresql-uid"}

    def found(**changes: object) -> bool:
        of = view(OF, Part.DATABASE, **changes)
        return remains(OF, seen(OF, {Part.DATABASE: of}), Part.DATABASE) is not None

    assert not found(claim=claim(owners=(owner,)))
    assert found(claim=claim(owners=(owner,)), workload=None)
    assert found(claim=claim(owners=({**owner, "uid": "earlier"},)))
    assert found(claim=claim(deleting=True), workload=None)
    assert not found(claim=claim(), workload=None)
    assert not found(claim=claim(owners=({"kind": "ConfigMap", "uid": "x"},)), workload=None)
