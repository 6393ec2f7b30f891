"""The example, as a user runs it: applied, trained, found in kubectl and in MLflow."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.client import Config

from tests.cluster import deploy
from tests.e2e.runs import Runs, run_id
from tests.support.kubectl import Kubectl
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "mnist"


def columns(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    """The line that ``kubectl get trun`` prints, by column."""
    head, line = kubectl("-n", namespace, "get", "trun", name).splitlines()[:2]
    return dict(zip(head.split(), line.split(), strict=True))


def keys_in_bucket(kubectl: Kubectl, prefix: str) -> list[str]:
    """Objects of MinIO's ``mlflow`` bucket below a prefix, read with boto3."""
    credentials = deploy.object_store_credentials(kubectl)
    with kubectl.port_forward(deploy.TRACKING_NAMESPACE, f"service/{deploy.OBJECT_STORE}", 9000) as port:
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=credentials[0],
            aws_secret_access_key=credentials[1],
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        return [o["Key"] for o in s3.list_objects_v2(Bucket="mlflow", Prefix=prefix).get("Contents", [])]


def example(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / file).read_text())
    return loaded


async def test_the_example_reaches_its_accuracy_and_everything_is_recorded(
    kubectl: Kubectl, namespace: str, runs: Runs, mlflow: MLflowView
) -> None:
    run = example("trainingrun.yaml")
    name = run["metadata"]["name"]
    runs.apply((EXAMPLES / "trainingrun.yaml").read_text())
    status = runs.closed(name, "Succeeded", 900)

    row = columns(kubectl, namespace, name)
    assert (row["PHASE"], row["PROGRESS"], row["ATTEMPT"]) == ("Succeeded", "100", "1")
    assert float(row["METRIC"]) >= 0.982
    assert row["EXPERIMENT"] == f"{namespace}/mnist"
    assert status["resolved"]["imageDigest"]

    recorded = mlflow.run(run_id(status))
    assert recorded["status"] == "FINISHED"
    for parameter, value in run["spec"]["parameters"].items():
        assert recorded["params"][parameter] == value
    epochs = int(recorded["params"]["epochs"])
    for metric in ("loss", "accuracy", "val_accuracy"):
        assert [p["step"] for p in mlflow.history(run_id(status), metric)] == list(range(1, epochs + 1))
    assert recorded["metrics"][run["spec"]["objective"]["metric"]] == pytest.approx(float(row["METRIC"]))

    files = mlflow.artifacts(run_id(status))
    assert "logs/attempt-1/node-0.log" in files
    resolved = yaml.safe_load(mlflow.artifact(run_id(status), "trainingrun.yaml"))
    assert resolved["spec"]["parameters"] == run["spec"]["parameters"]
    keys = keys_in_bucket(kubectl, "")
    assert any(run_id(status) in key and key.endswith("node-0.log") for key in keys)
    assert any("/models/" in key and key.endswith("MLmodel") for key in keys), "the model is in the bucket"


async def test_two_nodes_under_torchrun_are_one_run(namespace: str, runs: Runs, mlflow: MLflowView) -> None:
    name = example("trainingrun-ddp.yaml")["metadata"]["name"]
    runs.apply((EXAMPLES / "trainingrun-ddp.yaml").read_text())
    status = runs.closed(name, "Succeeded", 900)
    assert float(status["objective"]["value"]) >= 0.982
    assert [r["info"]["run_id"] for r in mlflow.runs(f"{namespace}/mnist")] == [run_id(status)]
    files = mlflow.artifacts(run_id(status), "logs")
    assert sorted(files) == ["logs/attempt-1/node-0.log", "logs/attempt-1/node-1.log"]
    assert json.loads(runs.kubectl("-n", namespace, "get", "pods", "-o", "json"))["items"], "pods stay until their TTL"


async def test_applying_the_same_manifest_again_trains_once(
    kubectl: Kubectl, namespace: str, runs: Runs, mlflow: MLflowView
) -> None:
    text = (EXAMPLES / "trainingrun.yaml").read_text()
    name = example("trainingrun.yaml")["metadata"]["name"]
    runs.apply(text)
    first = runs.phase(name, "Running", 300)
    assert "unchanged" in runs.apply(text)
    last = runs.closed(name, "Succeeded", 900)
    assert "unchanged" in runs.apply(text)
    assert run_id(first) == run_id(last)
    assert len(kubectl.objects("jobs", namespace)) == 1
    assert len(mlflow.runs(f"{namespace}/mnist")) == 1
