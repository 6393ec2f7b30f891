"""Deleting a TrainingRun while it runs ends its pods and closes its MLflow run, whoever is away at that moment."""

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs, manifest, run_id
from tests.support.kubectl import Kubectl, wait_for
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

RUNS_UNTIL_TOLD = """
    import mlflow, time
    mlflow.start_run()
    for step in range(10_000):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        time.sleep(1)
"""


def delete(runs: Runs, name: str) -> None:
    runs.kubectl("-n", runs.namespace, "delete", "trun", name, "--wait=false")
    wait_for("the pods are gone", lambda: not runs.pods(name), 180)


def killed(mlflow: MLflowView, run: str, timeout: float = 240) -> None:
    wait_for(f"MLflow run {run} KILLED", lambda: mlflow.run(run)["status"] == "KILLED", timeout)


async def test_deleting_a_running_run_closes_it_killed(runs: Runs, mlflow: MLflowView) -> None:
    runs.apply(manifest("deleted", RUNS_UNTIL_TOLD))
    run = run_id(runs.phase("deleted", "Running"))
    delete(runs, "deleted")
    killed(mlflow, run)


async def test_it_is_closed_when_mlflow_was_away(kubectl: Kubectl, runs: Runs) -> None:
    runs.apply(manifest("tracker-away", RUNS_UNTIL_TOLD))
    run = run_id(runs.phase("tracker-away", "Running"))
    with deploy.tracker_away(kubectl):
        delete(runs, "tracker-away")
    with deploy.mlflow_port(kubectl) as port:
        killed(MLflowView(f"http://127.0.0.1:{port}"), run)


async def test_it_is_closed_when_the_operator_was_away(kubectl: Kubectl, runs: Runs, mlflow: MLflowView) -> None:
    runs.apply(manifest("operator-away", RUNS_UNTIL_TOLD))
    run = run_id(runs.phase("operator-away", "Running"))
    with deploy.scaled_to_zero(kubectl, deploy.OPERATOR_NAMESPACE, "runwright"):
        delete(runs, "operator-away")
        assert mlflow.run(run)["status"] == "RUNNING"
    killed(mlflow, run)


async def test_a_namespace_with_runs_always_goes(kubectl: Kubectl, runs: Runs) -> None:
    runs.apply(manifest("in-the-way", RUNS_UNTIL_TOLD))
    runs.phase("in-the-way", "Running")
    with deploy.scaled_to_zero(kubectl, deploy.OPERATOR_NAMESPACE, "runwright"):
        kubectl("delete", "namespace", runs.namespace, "--wait=false")
        wait_for("the namespace is gone", lambda: not kubectl.get("namespace", runs.namespace, ""), 240)
    kubectl.apply(deploy.restricted_namespace(runs.namespace))  # the fixture deletes it
