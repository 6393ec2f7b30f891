"""The reconciler over the model world of tests/trainingrun (see there for what it can show and what not)."""

from typing import Any

import pytest

from runwright.errors import ConflictError, InvalidObjectError, RefusedError
from runwright.kube.cache import Cache
from runwright.ports import Key, Kind, TrackingServer
from runwright.servers import server_of
from runwright.trackingstack.reconcile import LOOK_AGAIN, LOOK_SOON, TrackingStackReconciler
from tests.trainingrun.operator_model import AWAY, ModelCluster, Process
from tests.trainingrun.world import World

KEY = Key("team-a", "default")


class Stage:
    """A stack, its server and the reconciler."""

    def __init__(self, uri: str = "http://mlflow:5000", **external: Any) -> None:
        self.world = World()
        self.cache = Cache()
        self.cluster = ModelCluster(self.world, self.cache, lambda: None)
        self.tracker = Process(self.world).tracker
        self.servers: list[str] = []
        self.asked: list[TrackingServer] = []
        self.reconciler = TrackingStackReconciler(
            cluster=self.cluster, trackers=self._tracker, clock=lambda: self.world.now
        )
        meta = {"name": KEY.name, "namespace": KEY.namespace}
        spec = {"server": {"external": {"trackingUri": uri, **external}}}
        self.world.create(Kind.TRACKING_STACK, {"metadata": meta, "spec": spec})
        self.learn()

    def _tracker(self, server: TrackingServer) -> Any:
        self.asked.append(server)
        self.servers.append(server.uri)
        return self.tracker

    def learn(self) -> None:
        self.cache.seen(Kind.TRACKING_STACK, self.world.objects[Kind.TRACKING_STACK, KEY])

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.world.objects[Kind.TRACKING_STACK, KEY].get("status", {}))

    def writes(self) -> int:
        return len(self.world.calls)


async def test_a_server_that_answers_costs_one_write_and_is_looked_at_again() -> None:
    stage = Stage()
    assert await stage.reconciler.reconcile(KEY) == LOOK_AGAIN
    assert stage.status["trackingUri"] == "http://mlflow:5000"
    assert await stage.reconciler.reconcile(KEY) == LOOK_AGAIN
    assert stage.writes() == 1


@pytest.mark.parametrize(
    "external",
    [
        {},
        {"credentialsSecretRef": {"name": "login"}, "caBundle": "-----BEGIN CERTIFICATE-----"},
        {"credentialsSecretRef": {"name": "login"}, "operatorSecretRef": {"name": "admin"}},
    ],
)
async def test_it_asks_the_very_server_that_runs_get(external: dict[str, Any]) -> None:
    stage = Stage("http://mlflow:5000/", **external)
    await stage.reconciler.reconcile(KEY)
    runs = server_of(stage.world.objects[Kind.TRACKING_STACK, KEY], "team-a")
    assert runs is not None
    (asked,) = stage.asked
    assert (asked.uri, asked.operator_secret, asked.ca_bundle) == (runs.uri, runs.operator_secret, runs.ca_bundle)


async def test_an_outage_and_its_end_cost_one_write_each() -> None:
    stage = Stage()
    await stage.reconciler.reconcile(KEY)
    stage.world.mlflow.away = True
    for _ in range(3):
        assert await stage.reconciler.reconcile(KEY) == LOOK_SOON
    assert stage.writes() == 2
    ready = next(c for c in stage.status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["message"]) == ("False", AWAY)
    stage.world.mlflow.away = False
    assert await stage.reconciler.reconcile(KEY) == LOOK_AGAIN
    assert stage.writes() == 3


async def test_a_refusal_is_told_like_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()

    async def ping() -> None:
        raise RefusedError("the database is gone")

    monkeypatch.setattr(stage.tracker, "ping", ping)
    assert await stage.reconciler.reconcile(KEY) == LOOK_SOON
    assert {c["message"] for c in stage.status["conditions"] if c["type"] == "Ready"} == {"the database is gone"}


async def test_another_writer_wins_and_the_next_pass_decides_again() -> None:
    stage = Stage()
    stage.world.update(Kind.TRACKING_STACK, KEY, lambda new: new["metadata"].update(generation=2))
    with pytest.raises(ConflictError):
        await stage.reconciler.reconcile(KEY)
    assert await stage.reconciler.reconcile(KEY) == LOOK_AGAIN
    assert stage.status["observedGeneration"] == 2


async def test_what_is_gone_or_going_is_left_alone() -> None:
    stage = Stage()
    stage.world.update(Kind.TRACKING_STACK, KEY, lambda new: new["metadata"].update(deletionTimestamp="now"))
    stage.learn()
    assert await stage.reconciler.reconcile(KEY) is None
    assert await stage.reconciler.reconcile(Key("team-a", "other")) is None
    assert stage.writes() == 0


async def test_an_address_is_the_same_with_and_without_a_slash() -> None:
    stage = Stage("http://mlflow:5000/")
    await stage.reconciler.reconcile(KEY)
    assert stage.servers == ["http://mlflow:5000"]
    assert stage.status["trackingUri"] == "http://mlflow:5000"


async def test_a_stack_that_does_not_parse_names_the_field() -> None:
    stage = Stage()
    stage.world.update(Kind.TRACKING_STACK, KEY, lambda new: new.update(spec={"server": {"external": {}}}))
    stage.learn()
    with pytest.raises(
        InvalidObjectError, match=r"^spec\.server\.external\.trackingUri: Field required; correct the TrackingStack"
    ):
        await stage.reconciler.reconcile(KEY)
