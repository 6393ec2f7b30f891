"""MLflow stopped before and during a training: nothing fails, the operator says so and recovers by itself."""

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs, condition, manifest, run_id
from tests.support.kubectl import Kubectl
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

LOGS_EIGHTY_POINTS = """
    import mlflow, time
    with mlflow.start_run():
        for step in range(1, 81):
            mlflow.log_metric("loss", 1.0 / step, step=step)
            time.sleep(0.5)
"""


async def test_a_run_waits_without_pods_until_the_tracker_is_there(kubectl: Kubectl, runs: Runs) -> None:
    with deploy.tracker_away(kubectl):
        runs.apply(manifest("waits", "print('hello')"))
        status = runs.until("waits", lambda s: condition(s, "TrackingAvailable").get("status") == "False")
        assert condition(status, "TrackingAvailable")["reason"] == "ServerUnreachable"
        assert status["phase"] == "Pending"
        assert runs.pods("waits") == []
    assert runs.closed("waits", "Succeeded", 400)["attempt"] == 1


async def test_an_outage_in_the_middle_loses_no_point_and_is_told(kubectl: Kubectl, runs: Runs) -> None:
    runs.apply(manifest("goes-on", LOGS_EIGHTY_POINTS))
    runs.until("goes-on", lambda s: s.get("metrics"))
    with deploy.tracker_away(kubectl):
        runs.until("goes-on", lambda s: condition(s, "TrackingAvailable").get("status") == "False")
        # The operator stays responsive: another run is seen, and told why it waits.
        runs.apply(manifest("second", "print('hello')"))
        runs.until("second", lambda s: condition(s, "TrackingAvailable").get("reason") == "ServerUnreachable")
    runs.until("goes-on", lambda s: condition(s, "TrackingAvailable").get("status") == "True", 300)
    status = runs.closed("goes-on", "Succeeded", 600)
    assert (status["attempt"], status.get("failures", 0)) == (1, 0)
    with deploy.mlflow_port(kubectl) as port:
        view = MLflowView(f"http://127.0.0.1:{port}")
        assert [p["step"] for p in view.history(run_id(status), "loss")] == list(range(1, 81))
        assert view.run(run_id(status))["status"] == "FINISHED"
    runs.closed("second", "Succeeded", 300)


async def test_a_run_that_ends_while_the_tracker_is_away_is_recorded_later(kubectl: Kubectl, runs: Runs) -> None:
    script = """
        import time
        time.sleep(25)
        print("no tracking in this script")
    """
    runs.apply(manifest("ends-alone", script))
    runs.phase("ends-alone", "Running")
    with deploy.tracker_away(kubectl):
        status = runs.phase("ends-alone", "Succeeded")
        assert condition(status, "Complete")["status"] == "True"
        assert condition(status, "TrackingAvailable").get("reason") != "RunClosed"
    status = runs.closed("ends-alone", "Succeeded", 300)
    with deploy.mlflow_port(kubectl) as port:
        view = MLflowView(f"http://127.0.0.1:{port}")
        assert view.run(run_id(status))["status"] == "FINISHED"
        assert "logs/attempt-1/node-0.log" in view.artifacts(run_id(status), "logs")
