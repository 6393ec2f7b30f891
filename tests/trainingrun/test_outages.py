"""Runs whose tracker is away, and runs that are deleted, over the model world (see `world`)."""

from typing import Any

import pytest

from runwright.errors import ClusterUnavailableError, TrackerUnavailableError
from runwright.ports import Key
from tests.trainingrun.life import Life
from tests.trainingrun.operator_model import AWAY
from tests.trainingrun.world import Behavior, World


def world(behavior: Behavior, **settings: Any) -> World:
    return World(script=lambda _attempt, _index: behavior, **settings)


def away(life: Life, *, yes: bool = True) -> None:
    life.world.mlflow.away = yes


# ---------------------------------------------------------------------------------------------------- outages


async def test_without_a_tracker_a_run_waits_without_pods_and_says_so_once() -> None:
    life = Life()
    away(life)
    life.apply()
    await life.until(120)
    assert (life.status()["phase"], life.jobs()) == ("Pending", [])
    assert life.condition("TrackingAvailable") == ("False", "ServerUnreachable", AWAY)
    assert life.count("status") == 2
    away(life, yes=False)
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_failures_in_other_words_make_no_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    tries = iter(range(1000))

    async def create_run(*_: object, **__: object) -> None:
        raise TrackerUnavailableError(f"HTTP 503, try {next(tries)}")

    monkeypatch.setattr(life.process.tracker, "create_run", create_run)
    life.apply()
    await life.until(120)
    assert next(tries) > 10
    assert life.count("status") == 2


async def test_an_outage_during_the_training_is_shown_and_passes() -> None:
    life = Life(world(Behavior(seconds=200)))
    life.apply()
    life.at(20, lambda: away(life))
    await life.until(60)
    assert life.status()["phase"] == "Running"
    assert life.condition("TrackingAvailable") == ("False", "ServerUnreachable", AWAY)
    away(life, yes=False)
    await life.until(80)
    assert life.condition("TrackingAvailable") == ("True", "RunCreated", "")
    await life.until(400)
    assert life.status()["phase"] == "Succeeded"


async def test_a_run_that_ends_in_an_outage_succeeds_at_once_and_is_closed_later() -> None:
    life = Life()
    life.apply()
    life.at(18, lambda: away(life))
    await life.until(40)
    assert life.status()["phase"] == "Succeeded"
    assert life.status()["progress"]["percentage"] == 100
    assert life.condition("TrackingAvailable") == ("False", "ServerUnreachable", AWAY)
    writes = life.count("status")
    await life.until(300)
    assert life.count("status") == writes
    away(life, yes=False)
    await life.until(320)
    assert life.condition("TrackingAvailable") == ("True", "RunClosed", "the MLflow run has its terminal state")
    assert life.mlflow() == {"run1": "FINISHED"}
    assert life.status()["objective"]["value"] == "0.92"
    assert life.status()["phase"] == "Succeeded"


async def test_a_restart_goes_on_in_an_outage() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(exit_code=1 if attempt == 1 else 0)))
    life.apply(retry={"maxFailures": 1})
    life.at(18, lambda: away(life))
    await life.until(200)
    assert (life.status()["phase"], life.status()["attempt"]) == ("Succeeded", 2)


async def test_a_run_that_mlflow_lost_is_closed_with_it() -> None:
    life = Life()
    life.apply()
    life.at(15, life.world.mlflow.runs.clear)
    await life.until(100)
    assert life.status()["phase"] == "Succeeded"
    assert life.condition("TrackingAvailable") == ("True", "RunClosed", "the MLflow run is gone from the server")
    before = life.process.passes
    await life.until(600)
    assert life.process.passes == before


async def test_parameters_that_the_script_logged_otherwise_do_not_make_tracking_look_broken() -> None:
    life = Life(world(Behavior(seconds=60)))
    life.apply()
    world_ = life.world
    create = world_.mlflow.create

    def first(new: Any) -> Any:
        made = create(new)
        world_.mlflow.log_params(made.run_id, {"lr": "1e-1"})
        return world_.mlflow.runs[made.run_id].run

    world_.mlflow.create = first  # type: ignore[method-assign]
    await life.until(40)
    assert life.condition("TrackingAvailable") == ("True", "RunCreated", "")
    assert world_.mlflow.runs["run1"].run.params == {"lr": "1e-1", "epochs": "2"}


# ---------------------------------------------------------------------------------------------------- deletion


async def test_deleting_a_running_run_ends_its_pods_and_then_its_mlflow_run() -> None:
    life = Life(World(grace=15))
    life.apply()
    life.at(10, life.delete)
    await life.until(20)
    assert life.mlflow() == {"run1": "RUNNING"}
    await life.settle()
    assert life.mlflow() == {"run1": "KILLED"}
    assert (life.jobs(), life.pods()) == ([], [])


async def test_deleting_while_the_tracker_is_away_closes_the_run_when_it_returns() -> None:
    life = Life()
    life.apply()
    life.at(8, lambda: away(life))
    life.at(10, life.delete)
    await life.until(100)
    assert life.mlflow() == {"run1": "FAILED"} or life.mlflow() == {"run1": "RUNNING"}
    away(life, yes=False)
    await life.settle()
    assert life.mlflow() == {"run1": "KILLED"}


async def test_deleting_while_the_operator_is_away_closes_the_run_when_it_starts() -> None:
    life = Life(World(grace=30, script=lambda _, __: Behavior(seconds=400)))
    life.apply()
    await life.until(10)
    process = life.process
    life.world.watchers.remove(process)
    process.alive = False
    life.delete()
    life.world.controllers()
    life.world.watchers.append(process)
    life.restart()
    await life.until(15)
    assert life.mlflow() == {"run1": "RUNNING"}  # its pods still end
    await life.until(60)
    assert life.mlflow()["run1"] in ("KILLED", "FAILED")


async def test_the_same_name_again_is_another_run() -> None:
    life = Life()
    first = life.apply()
    life.at(10, life.delete, life.apply)
    await life.settle()
    assert life.body()["metadata"]["uid"] != first
    assert life.mlflow() == {"run1": "KILLED", "run2": "FINISHED"}
    assert life.status()["tracking"]["runId"] == "run2"


async def test_a_finished_run_that_is_deleted_keeps_its_state() -> None:
    life = Life()
    life.apply()
    await life.until(100)
    life.delete()
    await life.settle()
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_a_late_script_that_reopens_its_finished_run_is_overruled() -> None:
    life = Life()
    life.apply()
    await life.until(100)
    life.world.mlflow.start("run1")
    await life.settle()
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_a_deleted_run_that_does_not_parse_is_no_poison_for_its_name() -> None:
    life = Life()
    life.apply()
    await life.until(8)
    broken = dict(life.body()) | {"spec": {}}
    life.process.reconciler.departed({**broken, "metadata": {**broken["metadata"], "uid": "other"}})
    await life.until(200)
    assert life.status()["phase"] == "Succeeded"


async def test_a_run_that_ends_and_is_deleted_in_an_outage_is_closed_truthfully_and_not_followed_for_ever() -> None:
    life = Life(world(Behavior(exit_code=3)))
    life.apply()
    life.at(18, lambda: away(life))
    await life.until(40)
    assert life.status()["phase"] == "Failed"
    life.delete()
    life.world.mlflow.start("run1")
    await life.until(100)
    away(life, yes=False)
    await life.settle()
    assert life.mlflow() == {"run1": "FAILED"}
    assert life.world.mlflow.runs["run1"].run.tags["runwright.reason"] == "AppFailed"


# ---------------------------------------------------------------------------------------------------- silent nodes


def silence(life: Life, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """Let no node tell a log any more; returns the pods whose log was asked for."""
    asked: list[Key] = []

    async def pod_log(key: Key, **_: object) -> str:
        asked.append(key)
        raise ClusterUnavailableError("HTTP 500: dial tcp: no route to host")

    monkeypatch.setattr(life.process.cluster, "pod_log", pod_log)
    return asked


async def test_a_log_that_its_node_does_not_tell_keeps_no_run_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life()
    asked = silence(life, monkeypatch)
    life.apply()
    await life.until(300)
    assert asked
    assert life.status()["phase"] == "Succeeded"
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_a_log_that_its_node_does_not_tell_keeps_no_run_from_its_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(World(script=lambda attempt, _: Behavior(disrupted=attempt == 1)))
    asked = silence(life, monkeypatch)
    life.apply()
    await life.until(300)
    assert asked
    assert (life.status()["phase"], life.status()["attempt"]) == ("Succeeded", 2)
