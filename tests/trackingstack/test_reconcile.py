"""The reconciler over the model world (see `model.py` for what it can show and what not)."""

from datetime import timedelta
from typing import Any

import pytest

from runwright.errors import ConflictError, InvalidObjectError
from runwright.ports import Key, Kind
from runwright.trackingstack.decide import LOOK_AGAIN, LOOK_SOON
from runwright.trackingstack.observe import DRIFT_PERIOD
from tests.trackingstack.model import AWAY, KEY, Life, World

EXTERNAL = {"server": {"external": {"trackingUri": "http://mlflow:5000/"}}}


def written(life: Life) -> int:
    return life.world.calls.count("status")


def message(life: Life, kind: str = "Ready") -> str:
    return next(str(c["message"]) for c in life.world.status["conditions"] if c["type"] == kind)


async def ready(spec: dict[str, Any] | None = None, world: World | None = None) -> Life:
    """A stack that is as wanted."""
    life = Life(world)
    life.world.apply(spec or {})
    await life.until_settled()
    assert life.world.condition("Ready")[0] == "True"
    life.world.calls.clear()
    life.world.events.clear()
    return life


# ---------------------------------------------------------------------------------------------------- somebody else's


async def test_a_server_that_answers_costs_one_write_and_is_looked_at_again() -> None:
    life = Life()
    life.world.apply(EXTERNAL)
    assert await life.step() == LOOK_AGAIN
    assert await life.step() == LOOK_AGAIN
    assert life.world.calls == ["status"]
    assert life.world.status["trackingUri"] == "http://mlflow:5000"
    assert {server.uri for server in life.world.asked} == {"http://mlflow:5000"}


async def test_an_outage_and_its_end_cost_one_write_each() -> None:
    life = await ready(EXTERNAL)
    life.world.away = True
    for _ in range(3):
        assert await life.step() == LOOK_SOON
    assert written(life) == 1
    assert message(life) == AWAY
    life.world.away = False
    assert await life.step() == LOOK_AGAIN
    assert written(life) == 2


async def test_another_writer_wins_and_the_next_pass_decides_again() -> None:
    life = await ready(EXTERNAL)
    life.world.away = True
    answers = life.world.answers

    def meanwhile() -> bool:
        life.world.change(Kind.TRACKING_STACK, KEY.name, lambda new: new.setdefault("labels", {}))
        return answers()

    life.world.answers = meanwhile  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        await life.process.reconciler.reconcile(KEY)
    life.world.answers = answers  # type: ignore[method-assign]
    assert await life.process.reconciler.reconcile(KEY) == LOOK_SOON


async def test_what_is_gone_or_going_is_left_alone() -> None:
    life = await ready()
    life.world.change(Kind.TRACKING_STACK, "a", lambda new: new["metadata"].update(deletionTimestamp="now"))
    life.world.remove(Kind.DEPLOYMENT, "a-mlflow")
    assert await life.step() is None
    assert await life.process.reconciler.reconcile(Key("team-a", "other")) is None
    assert life.world.calls == []


async def test_a_stack_that_does_not_parse_names_the_field() -> None:
    life = Life()
    life.world.apply({"server": {"external": {}}})
    with pytest.raises(InvalidObjectError, match=r"^spec\.server\.external\.trackingUri: Field required; correct the"):
        await life.process.reconciler.reconcile(KEY)


# ---------------------------------------------------------------------------------------------------- our own


async def test_the_first_installation_in_its_order() -> None:
    life = Life()
    life.world.apply({"server": {"auth": "Basic"}})
    await life.until_settled()
    calls = [call for call in life.world.calls if call != "status"]
    assert sorted(calls[:4]) == [
        "create Secret a-mlflow-client",
        "create Secret a-mlflow-operator",
        "create Secret a-object-store-credentials",
        "create Secret a-postgresql-credentials",
    ]
    first, second = calls[4:10], calls[10:]
    steps = ("pending", "objects", "deployed")
    assert set(first) == {f"helm a-{chart} {step}" for chart in ("postgresql", "object-store") for step in steps}
    assert second == [f"helm a-mlflow {step}" for step in steps]
    assert life.world.events == ["Released", "Released", "Released", "Ready"]
    status = life.world.status
    assert [(r["name"], r["revision"], r["state"]) for r in status["releases"]] == [
        ("a-postgresql", 1, "deployed"),
        ("a-object-store", 1, "deployed"),
        ("a-mlflow", 1, "deployed"),
    ]
    assert (status["operatorSecretName"], status["clientSecretName"]) == ("a-mlflow-operator", "a-mlflow-client")
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "DatabaseReady": "True",
        "ObjectStoreReady": "True",
        "TrackingReady": "True",
        "Ready": "True",
    }


async def test_the_first_installation_costs_few_status_writes() -> None:
    life = Life()
    life.world.apply({})
    await life.until_settled()
    assert written(life) <= 6


async def test_the_address_appears_with_the_first_answer_and_stays() -> None:
    life = Life()
    life.world.away = True
    life.world.apply({"server": {"ingress": {"host": "mlflow.example.com"}}})
    for _ in range(8):
        await life.step()
    assert life.world.condition("TrackingReady") == ("False", "ServerUnreachable")
    assert "trackingUri" not in life.world.status
    assert life.world.status["uiUrl"] == "http://mlflow.example.com"
    life.world.away = False
    await life.until_settled()
    assert life.world.status["trackingUri"] == "http://a-mlflow.team-a.svc.cluster.local:5000"
    life.world.away = True
    await life.step()
    assert life.world.condition("TrackingReady") == ("False", "ServerUnreachable")
    assert life.world.status["trackingUri"] == "http://a-mlflow.team-a.svc.cluster.local:5000"


async def test_a_stack_that_is_as_wanted_is_read_but_not_written() -> None:
    life = await ready()
    for _ in range(30):
        assert await life.step() == LOOK_AGAIN
    assert life.world.calls == []


async def test_drift_is_looked_for_seldom_and_repaired() -> None:
    life = await ready()
    life.world.drifts.clear()
    life.world.remove(Kind.CONFIG_MAP, "a-postgresql")
    passes = 0
    while Key("team-a", "a-postgresql") not in {key for kind, key in life.world.objects if kind is Kind.CONFIG_MAP}:
        await life.step()
        passes += 1
        assert passes <= DRIFT_PERIOD / timedelta(seconds=LOOK_AGAIN) + 1
    assert sorted(life.world.drifts) == ["a-mlflow", "a-object-store", "a-postgresql"]
    assert "Repaired" in life.world.events
    await life.until_settled()
    assert [r["revision"] for r in life.world.status["releases"]] == [2, 1, 1]


async def test_a_deleted_workload_is_seen_at_once_and_so_is_what_went_with_it() -> None:
    life = await ready()
    life.world.remove(Kind.DEPLOYMENT, "a-mlflow")
    life.world.remove(Kind.CONFIG_MAP, "a-object-store")
    life.world.settle()
    await life.step()
    assert "a-mlflow" in life.world.names(Kind.DEPLOYMENT)
    assert "a-object-store" in life.world.names(Kind.CONFIG_MAP)


async def test_a_deleted_password_of_the_store_is_made_again_and_everybody_reads_it() -> None:
    life = await ready()
    before = {name: life.world.get(Kind.POD, name)["metadata"]["uid"] for name in life.world.names(Kind.POD)}
    life.world.remove(Kind.SECRET, "a-object-store-credentials")
    for _ in range(8):
        await life.step()
    assert "a-object-store-credentials" in life.world.names(Kind.SECRET)
    after = {name: life.world.get(Kind.POD, name)["metadata"]["uid"] for name in life.world.names(Kind.POD)}
    assert {name for name in before if before[name] != after[name]} == {"a-object-store-0", "a-mlflow-0"}
    assert life.world.condition("Ready")[0] == "True"


async def test_a_deleted_password_of_the_database_is_asked_for_never_replaced() -> None:
    life = await ready()
    kept = life.world.get(Kind.SECRET, "a-postgresql-credentials")
    life.world.remove(Kind.SECRET, "a-postgresql-credentials")
    for _ in range(4):
        await life.step()
    assert life.world.condition("Ready") == ("False", "SecretNotFound")
    assert life.world.condition("DatabaseReady")[0] == "True"
    assert not [call for call in life.world.calls if call != "status"]
    life.world.put(Kind.SECRET, kept)
    for _ in range(4):
        await life.step()
    assert life.world.condition("Ready")[0] == "True"
    assert not [call for call in life.world.calls if call != "status"]


async def test_a_refused_upgrade_is_told_tried_again_and_cleared_by_setting_it_back() -> None:
    life = await ready()
    refusal = "helm upgrade: execution error at (mlflow/templates/deployment.yaml:3:4): no such value"
    life.world.refuse = lambda call: refusal if call == "helm a-mlflow objects" else ""
    life.world.apply({"server": {"replicas": 3}})
    await life.step()
    assert life.world.condition("Ready") == ("False", "ReleaseFailed")
    assert life.world.condition("Stalled") == ("True", "ReleaseFailed")
    assert message(life) == f"a-mlflow: {refusal}"
    assert life.world.condition("TrackingReady")[0] == "True"  # the old one still runs
    tries = life.world.calls.count("helm a-mlflow pending")
    for _ in range(8):
        await life.step()
    more = life.world.calls.count("helm a-mlflow pending") - tries
    assert 1 <= more <= 4, "again, but ever more seldom"
    writes = written(life)
    life.world.refuse = lambda _call: ""
    life.world.apply({})
    await life.step()
    assert life.world.condition("Ready") == ("True", "PartsReady")
    assert life.world.condition("Stalled") == ("", "")
    assert written(life) - writes <= 2


async def test_a_volume_that_cannot_grow_is_told_without_a_loop() -> None:
    life = await ready(world=World(expandable=False))
    life.world.apply({"postgresql": {"storage": "16Gi"}})
    await life.step()
    assert life.world.condition("Stalled") == ("True", "VolumeCannotGrow")
    assert life.world.condition("DatabaseReady")[0] == "True"
    for _ in range(20):
        await life.step()
    assert life.world.calls.count("patch PersistentVolumeClaim data-a-postgresql-0") <= 8
    assert not [call for call in life.world.calls if call.startswith(("helm", "orphan"))]
    life.world.expandable = True
    for _ in range(12):
        await life.step()
    assert life.world.condition("Ready")[0] == "True"


async def test_a_volume_that_cannot_grow_keeps_nothing_else_from_changing() -> None:
    life = await ready(world=World(expandable=False))
    life.world.apply({"postgresql": {"storage": "16Gi", "version": "17.5"}})
    for _ in range(6):
        await life.step()
    assert life.world.get(Kind.STATEFUL_SET, "a-postgresql")["spec"]["image"] == "17.5"


async def test_storage_that_is_left_out_again_shrinks_nothing() -> None:
    life = await ready({"postgresql": {"storage": "16Gi"}})
    life.world.apply({})
    await life.step()
    assert life.world.condition("Ready")[0] == "True"
    assert not [call for call in life.world.calls if call != "status"]


async def test_missing_rights_are_told_with_the_remedy() -> None:
    life = Life()
    life.world.apply({})
    forbidden = 'secrets is forbidden: User "system:serviceaccount:x:y" cannot create resource "secrets"'
    life.world.refuse = lambda call: forbidden if call.startswith("create Secret") else ""
    await life.step()
    assert life.world.condition("Stalled") == ("True", "RightsMissing")
    assert "add team-a to stackNamespaces" in message(life)
    life.world.refuse = lambda _call: ""
    await life.until_settled()
    assert life.world.condition("Ready")[0] == "True"


async def test_in_a_namespace_that_is_being_deleted_nothing_is_told_or_tried() -> None:
    life = Life()
    life.world.apply({})
    terminating = "namespace team-a: forbidden: unable to create new content because it is being terminated"
    life.world.refuse = lambda call: terminating if call != "status" else ""
    assert await life.step() == LOOK_AGAIN
    writes = written(life)
    assert await life.step() == LOOK_AGAIN
    assert written(life) == writes
    assert life.world.condition("Stalled") == ("", "")


async def test_a_broken_image_is_told_and_its_correction_is_not_kept_waiting() -> None:
    life = await ready(world=World(broken_images=frozenset({"17.999"})))
    life.world.apply({"postgresql": {"version": "17.999"}})
    for _ in range(4):
        await life.step()
    assert life.world.condition("DatabaseReady") == ("False", "ImagePullBackOff")
    assert "spec.postgresql.image" in message(life, "DatabaseReady")
    assert life.world.condition("Stalled") == ("", "")
    life.world.apply({"postgresql": {"version": "17.5"}})
    await life.until_settled()
    assert "delete Pod a-postgresql-0" in life.world.calls
    assert life.world.condition("Ready")[0] == "True"


async def test_a_refused_deed_that_is_not_wanted_any_more_is_forgotten() -> None:
    life = await ready()
    life.world.refuse = lambda call: "admission says no" if call.startswith("patch Secret") else ""
    life.world.apply({"deletionPolicy": "Delete"})
    await life.step()
    assert life.world.condition("Stalled")[0] == "True"
    life.world.apply({})
    for _ in range(4):
        await life.step()
    assert life.world.condition("Ready")[0] == "True"


async def test_a_deletion_that_is_news_still_to_come_makes_nothing() -> None:
    life = Life()
    life.world.apply({})
    reconciler = life.process.reconciler
    cached = life.world.objects[Kind.TRACKING_STACK, KEY]
    life.world.remove(Kind.TRACKING_STACK, KEY.name)
    cluster = reconciler._cluster
    cluster.cached = lambda *_: cached  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        await reconciler.reconcile(KEY)
    assert life.world.names(Kind.SECRET) == set()
