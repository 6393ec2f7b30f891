"""A run's life on the real API server: what is written, how often, and under whose name."""

from typing import Any

import pytest

from tests.contract.trainingrun.world import World
from tests.support.kubectl import wait_for
from tests.support.mlflow_server import MLflowServer
from tests.support.mlflow_view import MLflowView
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract


def test_a_single_node_run_costs_five_writes_and_three_events(operator: OperatorProcess, world: World) -> None:
    world.apply("one", parameters={"lr": "0.1"})
    pods = world.pods(1)
    world.start(pods)
    world.until("one", "Running")
    world.finish(pods)
    world.until("one", "Succeeded")
    assert world.settled() == {
        "patch trainingruns/status": 4,  # the mark, run id and attempt, Running, Succeeded
        "create jobs": 1,
        "create events": 3,
    }


def test_code_and_several_nodes_cost_one_write_each(operator: OperatorProcess, world: World) -> None:
    world.apply("two", numNodes=2, source={"inline": {"files": {"train.py": "print(1)"}}})
    pods = world.pods(2)
    world.start(pods)
    world.until("two", "Running")
    world.finish(pods)
    world.until("two", "Succeeded")
    writes = world.settled()
    assert (writes["create configmaps"], writes["create services"], writes["create jobs"]) == (1, 1, 1)
    assert writes["patch trainingruns/status"] == 4
    assert sum(writes.values()) == 4 + 3 + 3


def test_the_object_itself_is_never_written(operator: OperatorProcess, world: World) -> None:
    world.apply("bare")
    pods = world.pods(1)
    world.start(pods)
    world.finish(pods)
    world.until("bare", "Succeeded")
    run = world.run("bare")
    assert "finalizers" not in run["metadata"]
    assert "annotations" not in run["metadata"]
    assert run["metadata"]["generation"] == 1


def test_parameters_and_tags_reach_mlflow(operator: OperatorProcess, world: World, mlflow_server: MLflowServer) -> None:
    world.apply("told", parameters={"lr": "1e-3"}, seed=7, tracking={"tags": {"team": "vision"}, "runName": "first"})
    world.pods(1)
    view = MLflowView(mlflow_server.uri)
    run_id = world.run("told")["status"]["tracking"]["runId"]
    wait_for("params", lambda: view.run(run_id)["params"] == {"lr": "1e-3", "seed": "7"}, 30)
    tags = view.run(run_id)["tags"]
    assert (tags["team"], tags["mlflow.runName"], tags["runwright.name"]) == ("vision", "first", "told")
    changed = {"team": "speech"}
    world.apply("told", parameters={"lr": "1e-3"}, seed=7, tracking={"tags": changed, "runName": "first"})
    wait_for("the changed tag", lambda: view.run(run_id)["tags"]["team"] == "speech", 30)


def test_a_name_that_somebody_else_has_is_never_touched(operator: OperatorProcess, world: World) -> None:
    run = world.apply("taken", source={"configMap": {"name": "code"}})  # waits for its code
    uid = run["metadata"]["uid"]
    theirs = world.path("configmaps", f"taken-{uid[:8]}-source")
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"taken-{uid[:8]}-source"}}
    world.control_plane.client.apply(theirs, foreign)
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"train.py": "print(1)"}}
    world.control_plane.client.apply(world.path("configmaps", "code"), code)

    def reason() -> str:
        conditions = world.run("taken").get("status", {}).get("conditions", ())
        return next((str(c["reason"]) for c in conditions if c["type"] == "Running"), "")

    wait_for("NameConflict", lambda: reason() == "NameConflict", 30)
    assert world.objects("jobs") == []
    assert "data" not in world.control_plane.client.request("GET", theirs)


def test_the_same_name_again_is_another_run(
    operator: OperatorProcess, world: World, mlflow_server: MLflowServer
) -> None:
    world.apply("again")
    world.start(world.pods(1))
    first = world.until("again", "Running")["tracking"]["runId"]
    world.delete("trainingruns", "again")
    second_uid = world.apply("again")["metadata"]["uid"]
    status = wait_for("the second run", lambda: _tracked(world, second_uid), 60)
    assert status["tracking"]["runId"] != first
    view = MLflowView(mlflow_server.uri)

    wait_for("the first run is KILLED", lambda: view.run(first)["status"] == "KILLED", 60)
    assert view.run(status["tracking"]["runId"])["status"] == "RUNNING"


def _tracked(world: World, uid: str) -> dict[str, Any] | None:
    run = world.run("again")
    status = run.get("status", {})
    return status if run["metadata"]["uid"] == uid and status.get("tracking", {}).get("runId") else None
