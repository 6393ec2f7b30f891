"""What users see when trainings go wrong."""

import pytest

from tests.e2e.runs import Runs, condition, manifest, run_id
from tests.support.kubectl import Kubectl, wait_for
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

EXITS_3 = """
    import mlflow, sys
    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0, step=1)
    print("the data is missing")
    sys.exit(3)
"""

ALLOCATES = """
    print("allocating", flush=True)
    held = []
    while True:
        held.append(bytearray(10_000_000))
"""

KILLED_IN_NESTED_RUNS = """
    import os, signal, mlflow
    with mlflow.start_run():
        with mlflow.start_run(nested=True, run_name="fold-0"):
            with mlflow.start_run(nested=True, run_name="inner"):
                mlflow.log_metric("loss", 1.0)
                os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_failing_script_ends_failed_with_its_cause(runs: Runs, namespace: str, mlflow: MLflowView) -> None:
    runs.apply(manifest("fails", EXITS_3))
    status = runs.closed("fails", "Failed")
    failure = status["failure"]
    assert (failure["reason"], failure["exitCode"]) == ("AppFailed", 3)
    assert failure["pod"] == runs.pods("fails")[0]["metadata"]["name"]
    assert "the data is missing" in failure["logTail"]
    assert failure["node"]
    assert status["attempt"] == 1
    assert condition(status, "Failed")["status"] == "True"
    assert condition(status, "Stalled")["status"] == "True"
    recorded = mlflow.run(run_id(status))
    assert recorded["status"] == "FAILED", "the script had closed it FINISHED"
    assert "the data is missing" in mlflow.artifact(run_id(status), "logs/attempt-1/node-0.log")


async def test_a_second_attempt_continues_the_same_mlflow_run(runs: Runs, namespace: str, mlflow: MLflowView) -> None:
    script = """
        import mlflow, os, sys
        attempt = int(os.environ["RUNWRIGHT_ATTEMPT"])
        with mlflow.start_run():
            mlflow.log_metric("loss", 1.0 / attempt, step=attempt)
        sys.exit(0 if attempt == 2 else 3)
    """
    runs.apply(manifest("retries", script, retry={"maxFailures": 1, "backoffSeconds": 1}))
    status = runs.closed("retries", "Succeeded", 400)
    assert (status["attempt"], status["failures"], status.get("disruptions", 0)) == (2, 1, 0)
    assert [a["outcome"] for a in status["attempts"]] == ["Failed", "Succeeded"]
    assert "failure" not in status
    recorded = mlflow.run(run_id(status))
    assert recorded["status"] == "FINISHED"
    assert [p["step"] for p in mlflow.history(run_id(status), "loss")] == [1, 2]
    assert len(mlflow.runs(namespace)) == 1
    assert {"logs/attempt-1/node-0.log", "logs/attempt-2/node-0.log"} <= set(mlflow.artifacts(run_id(status), "logs"))


async def test_the_budget_of_failures_is_kept(runs: Runs, mlflow: MLflowView) -> None:
    runs.apply(manifest("gives-up", EXITS_3, retry={"maxFailures": 1, "backoffSeconds": 1}))
    status = runs.closed("gives-up", "Failed", 400)
    assert (status["attempt"], status["failures"]) == (2, 2)
    assert mlflow.run(run_id(status))["status"] == "FAILED"


async def test_running_out_of_memory_says_so(runs: Runs, mlflow: MLflowView) -> None:
    runs.apply(manifest("too-big", ALLOCATES, resourcesPerNode={"memory": "100Mi"}))
    status = runs.closed("too-big", "Failed")
    assert (status["failure"]["reason"], status["failure"]["exitCode"]) == ("OOMKilled", 137)
    assert "resourcesPerNode.memory" in status["failure"]["message"]
    assert mlflow.run(run_id(status))["status"] == "FAILED"


async def test_an_image_that_does_not_exist_is_shown_while_it_waits(runs: Runs, kubectl: Kubectl) -> None:
    runs.apply(manifest("no-image", "pass", image="runwright.invalid/nothing:1"))
    status = runs.until("no-image", lambda s: condition(s, "Running").get("reason") == "ImagePullBackOff")
    assert status["phase"] == "Starting"
    assert "spec.image" in condition(status, "Running")["message"]


async def test_a_script_killed_in_nested_runs_leaves_none_running(
    runs: Runs, namespace: str, mlflow: MLflowView
) -> None:
    # Under a shell: the kernel lets PID 1 of a container not kill itself.
    runs.apply(manifest("nested", KILLED_IN_NESTED_RUNS, command=["sh", "-c", "python3 train.py; exit $?"]))
    status = runs.closed("nested", "Failed")
    assert status["failure"]["exitCode"] == 137
    everything = mlflow.runs(namespace)
    assert len(everything) == 3
    assert {r["info"]["status"] for r in everything} == {"FAILED"}


async def test_the_deadline_ends_a_run_and_counts_running_time(runs: Runs, mlflow: MLflowView) -> None:
    script = """
        import time
        while True:
            time.sleep(1)
    """
    runs.apply(manifest("endless", script, activeDeadlineSeconds=3))
    status = runs.closed("endless", "Failed")
    assert status["failure"]["reason"] == "DeadlineExceeded"
    assert status["runningSeconds"] >= 3
    assert mlflow.run(run_id(status))["status"] == "FAILED"
    assert [p for p in runs.pods("endless") if p["status"]["phase"] not in ("Succeeded", "Failed")] == [], "over first"
    wait_for("its pods are gone", lambda: not runs.pods("endless"), 60)
