from datetime import timedelta
from typing import Any

import pytest

from runwright.trackingstack.observed import Failure
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import Install
from runwright.trackingstack.policies.releases import blocked, due
from tests.trackingstack.samples import NOW, release, secret, seen, stack, view, workload

OF = stack()


def installs(part: Part, **changes: Any) -> Install | None:
    return due(OF, seen(OF, {part: view(OF, part, **changes)}), part, NOW)


@pytest.mark.parametrize("part", Part)
def test_what_is_as_wanted_is_left(part: Part) -> None:
    assert installs(part) is None


@pytest.mark.parametrize("part", Part)
def test_what_is_absent_outdated_or_failed_is_installed(part: Part) -> None:
    for found in (None, release(part, current=False), release(part, current=False, state="failed")):
        plan = installs(part, release=found)
        assert plan is not None
        assert plan.repairs == ()


def test_what_is_missing_or_edited_is_repaired() -> None:
    plan = installs(Part.SERVER, workload=None)
    assert plan is not None
    assert plan.repairs == ("Deployment a-mlflow",)
    plan = installs(Part.STORE, drift=("Service a-object-store",))
    assert plan is not None
    assert plan.repairs == ("Service a-object-store",)


@pytest.mark.parametrize(
    ("needed", "reason"), [(Part.DATABASE, "WaitingForDatabase"), (Part.STORE, "WaitingForObjectStore")]
)
def test_the_server_follows_when_what_it_needs_works(needed: Part, reason: str) -> None:
    absent = {Part.SERVER: view(OF, Part.SERVER, release=None, workload=None)}
    for changes in (
        {"release": None, "workload": None},
        {"workload": workload("w", ready=0)},
        {"release": release(needed, current=False)},
    ):
        parts = absent | {needed: view(OF, needed, **changes)}
        assert due(OF, seen(OF, parts), Part.SERVER, NOW) is None
        problem = blocked(OF, seen(OF, parts), Part.SERVER)
        assert problem is not None
        assert problem.reason == reason
    assert due(OF, seen(OF, absent), Part.SERVER, NOW) is not None


def test_external_parts_are_not_waited_for() -> None:
    spec = {
        "postgresql": {"external": {"host": "h", "secretRef": {"name": "pg"}}},
        "objectStore": {"external": {"bucket": "b12"}},
    }
    of = stack(spec)
    absent = {Part.SERVER: view(of, Part.SERVER, release=None, workload=None)}
    named = {"pg": secret("pg", "username", "password", "database")}
    assert due(of, seen(of, absent, secrets=named), Part.SERVER, NOW) is not None
    problem = blocked(of, seen(of, absent), Part.SERVER)
    assert problem is not None
    assert problem.reason == "SecretNotFound"


def test_a_part_waits_for_its_own_secrets_only() -> None:
    parts = (Part.DATABASE, Part.STORE)
    absent = {part: view(OF, part, release=None, workload=None, claim=None) for part in parts}
    look = seen(OF, absent)
    secrets = {name: secret for name, secret in look.secrets.items() if "postgresql" not in name}
    look = seen(OF, absent, secrets=secrets)
    assert due(OF, look, Part.DATABASE, NOW) is None
    assert due(OF, look, Part.STORE, NOW) is not None


def test_a_refusal_is_not_repeated_at_once() -> None:
    changes = {"release": release(Part.STORE, current=False)}
    assert installs(Part.STORE, **changes, failure=Failure("no", NOW + timedelta(seconds=1))) is None
    assert installs(Part.STORE, **changes, failure=Failure("no", NOW)) is not None


def test_a_workload_that_is_being_deleted_is_waited_for() -> None:
    assert installs(Part.SERVER, workload=workload("a-mlflow", deleting=True)) is None
