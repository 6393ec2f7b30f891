"""The operator restarted, killed and upgraded in the middle of trainings."""

import json

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs, manifest, run_id
from tests.support.kubectl import Kubectl, wait_for
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

TWENTY_STEPS = """
    import mlflow, time
    with mlflow.start_run():
        for step in range(1, 21):
            mlflow.log_metric("loss", 1.0 / step, step=step)
            time.sleep(0.5)
"""


def operator_pod(kubectl: Kubectl) -> str:
    pods = kubectl.objects("pods", deploy.OPERATOR_NAMESPACE, "app.kubernetes.io/name=runwright")
    live = [p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]]
    return str(live[0]) if live else ""


def writers(kubectl: Kubectl, namespace: str) -> list[str]:
    """Who wrote the namespace's Job, its status left aside."""
    shown = kubectl("-n", namespace, "get", "jobs", "-o", "json", "--show-managed-fields")
    fields = json.loads(shown)["items"][0]["metadata"]["managedFields"]
    return [f["manager"] for f in fields if f.get("subresource") != "status"]


async def test_killing_the_operator_changes_nothing_in_the_outcome(
    kubectl: Kubectl, runs: Runs, namespace: str, mlflow: MLflowView
) -> None:
    runs.apply(manifest("survives", TWENTY_STEPS, objective={"metric": "loss", "direction": "Minimize"}))
    first = runs.phase("survives", "Running")
    victim = operator_pod(kubectl)
    kubectl("-n", deploy.OPERATOR_NAMESPACE, "delete", "pod", victim, "--grace-period=0", "--force")
    status = runs.closed("survives", "Succeeded", 400)
    assert operator_pod(kubectl) != victim
    assert (status["attempt"], status.get("failures", 0), status.get("disruptions", 0)) == (1, 0, 0)
    assert run_id(first) == run_id(status)
    assert (status["objective"]["value"], status["objective"]["step"]) == ("0.05", 20)
    assert mlflow.run(run_id(status))["status"] == "FINISHED"
    assert len(mlflow.runs(namespace)) == 1
    assert len(kubectl.objects("jobs", namespace)) == 1


async def test_a_new_version_with_another_pod_template_leaves_running_jobs_alone(
    kubectl: Kubectl, runs: Runs, namespace: str
) -> None:
    runs.apply(manifest("stays", TWENTY_STEPS))
    runs.phase("stays", "Running")
    before = kubectl.objects("jobs", namespace)[0]
    deploy.upgrade_operator(kubectl, "--set", "podLabels.version=another")
    try:
        runs.closed("stays", "Succeeded", 400)
        after = kubectl.objects("jobs", namespace)[0]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert writers(kubectl, namespace) == ["runwright"], "nobody but the operator wrote it, and it only once"
    finally:
        deploy.upgrade_operator(kubectl)


async def test_events_tell_the_story(kubectl: Kubectl, runs: Runs, namespace: str, mlflow: MLflowView) -> None:
    runs.apply(manifest("told", "print('done')"))
    runs.closed("told", "Succeeded")

    def reasons() -> set[str]:
        events = kubectl.objects("events", namespace)
        return {e["reason"] for e in events if e["involvedObject"]["kind"] == "TrainingRun"}

    wait_for("three events", lambda: {"RunCreated", "Succeeded"} <= reasons(), 120)
    assert reasons() <= {"RunCreated", "Running", "Succeeded"}
