"""train.py as a process of its own, logging to a real MLflow server as it does in a pod."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.examples.modules import EXAMPLE
from tests.support.mlflow_server import MLflowServer, free_port

pytestmark = pytest.mark.torch
QUICK = {"recipe": "classic", "epochs": 2, "batch_size": 1000, "lr": 0.1, "momentum": 0.5, "validation_size": 50000}
SEED = "3"
CODE_OF_A_BAD_PARAMETER = 2


@dataclass(frozen=True)
class Pod:
    """Starts the example with the environment that Runwright gives a training pod."""

    python: str
    server: MLflowServer
    folder: Path

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{self.server.uri}/api/2.0/mlflow/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def run(self, run_id: str) -> dict[str, Any]:
        answer = requests.get(f"{self.server.uri}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=60)
        found: dict[str, Any] = answer.json()["run"]
        return found

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        query = {"run_id": run_id, "metric_key": metric}
        answer = requests.get(f"{self.server.uri}/api/2.0/mlflow/metrics/get-history", params=query, timeout=60)
        return {point["step"]: point["value"] for point in answer.json()["metrics"]}

    @cached_property
    def experiment(self) -> str:
        return str(self.post("experiments/create", {"name": self.folder.name})["experiment_id"])

    def create_run(self) -> str:
        return str(self.post("runs/create", {"experiment_id": self.experiment})["run"]["info"]["run_id"])

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.post("runs/search", {"experiment_ids": [self.experiment]})["runs"]
        return found

    def models(self, run_id: str) -> list[dict[str, Any]]:
        found = self.post("logged-models/search", {"experiment_ids": [self.experiment]}).get("models", [])
        return [model for model in found if model["info"]["source_run_id"] == run_id]

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RUNWRIGHT_", "MNIST_"))}
        return {
            **inherited,
            "HOME": str(self.folder),
            "MLFLOW_TRACKING_URI": self.server.uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "USE_LIBUV": "0",  # for Debian's torch; no harm with another
            **more,
        }

    def train(
        self, parameters: Mapping[str, Any], run_id: str, *, command: tuple[str, ...] = (), **more: str
    ) -> subprocess.CompletedProcess[str]:
        file = self.folder / "params.json"
        file.write_text(json.dumps(parameters))
        given = {"RUNWRIGHT_PARAMS_FILE": str(file), "RUNWRIGHT_SEED": SEED}
        given |= {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": self.experiment}
        return subprocess.run(
            [self.python, *command, str(EXAMPLE / "train.py")],
            env=self.environment(**given | more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def pod(torch_python: str, mlflow_server: MLflowServer, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    return Pod(torch_python, mlflow_server, tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def alone(pod: Pod) -> str:
    """The id of a run that one process trained."""
    run_id = pod.create_run()
    ended = pod.train(QUICK, run_id)
    assert ended.returncode == 0, ended.stderr
    assert "pickle" not in ended.stderr.lower()
    return run_id


def values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


def test_parameters_and_metrics_of_every_epoch_are_in_the_run_that_runwright_made(pod: Pod, alone: str) -> None:
    run = pod.run(alone)
    assert run["info"]["status"] == "FINISHED"
    logged = values(run["data"]["params"])
    assert not {*QUICK, "seed"} & logged.keys(), "Runwright has logged these"
    assert (logged["hidden_sizes"], logged["world_size"]) == ("(128, 64)", "1")
    last = values(run["data"]["metrics"])
    assert {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"} <= last.keys()
    assert pod.history(alone, "epoch") == {1: 1, 2: 2}
    assert pod.history(alone, "progress") == {1: 0.5, 2: 1}
    assert list(pod.history(alone, "test_accuracy")) == [2], "the test images are read once"
    assert pod.history(alone, "loss")[2] < pod.history(alone, "loss")[1]
    assert 0.5 < last["val_accuracy"] < 1


def test_the_logged_model_takes_plain_images(pod: Pod, alone: str) -> None:
    run = pod.run(alone)
    (model,) = pod.models(alone)
    assert model["info"]["name"] == "model"
    measured = subprocess.run(
        [pod.python, "-c", ACCURACY_OF_A_MODEL, f"models:/{model['info']['model_id']}", str(EXAMPLE / "data")],
        env=pod.environment(),
        cwd=pod.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stderr
    accuracy = values(run["data"]["metrics"])["test_accuracy"]
    assert float(measured.stdout) == pytest.approx(accuracy, abs=1e-3)


ACCURACY_OF_A_MODEL = """
import sys, mlflow, torch
from torchvision.datasets import MNIST
test = MNIST(sys.argv[2], train=False)
output = mlflow.pytorch.load_model(sys.argv[1])(test.data.float())
print((output.argmax(1) == test.targets).float().mean().item())
"""


def test_two_processes_train_what_one_trains_and_log_to_one_run(pod: Pod, alone: str) -> None:
    runs_before = len(pod.runs())
    together = pod.create_run()
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}")
    ended = pod.train(QUICK, together, command=torchrun)
    assert ended.returncode == 0, ended.stderr
    assert len(pod.runs()) == runs_before + 1
    assert len(pod.models(together)) == 1
    assert values(pod.run(together)["data"]["params"])["world_size"] == "2"
    for metric in ("loss", "val_loss", "test_loss"):
        assert pod.history(together, metric) == pytest.approx(pod.history(alone, metric), rel=1e-4)


def test_the_seed_alone_decides_what_is_trained(pod: Pod, alone: str) -> None:
    again, other = pod.create_run(), pod.create_run()
    for run_id, seed in ((again, SEED), (other, "4")):
        ended = pod.train(QUICK, run_id, RUNWRIGHT_SEED=seed)
        assert ended.returncode == 0, ended.stderr
    assert pod.history(again, "test_loss") == pod.history(alone, "test_loss")
    assert pod.history(other, "test_loss") != pod.history(alone, "test_loss")


def test_without_runwright_it_trains_in_the_experiment_mnist(pod: Pod) -> None:
    ended = subprocess.run(
        [pod.python, str(EXAMPLE / "train.py"), "--epochs=1", "--batch-size=1000"],
        env=pod.environment(),
        cwd=pod.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    by_name = {"experiment_name": "mnist"}
    found = requests.get(f"{pod.server.uri}/api/2.0/mlflow/experiments/get-by-name", params=by_name, timeout=60)
    experiment = found.json()["experiment"]["experiment_id"]
    (run,) = pod.post("runs/search", {"experiment_ids": [experiment]})["runs"]
    assert values(run["data"]["params"])["recipe"] == "fast"
    assert run["info"]["status"] == "FINISHED"


def test_a_bad_parameter_ends_before_anything_is_tracked(pod: Pod) -> None:
    run_id = pod.create_run()
    ended = pod.train({"lr": "warm"}, run_id)
    assert ended.returncode == CODE_OF_A_BAD_PARAMETER
    assert ended.stderr.splitlines() == [
        "train.py: error: argument --lr: 'warm' is not a number (float) from 1e-09 to 100"
    ]
    assert "params" not in pod.run(run_id)["data"]


def test_missing_data_is_told_in_one_line(pod: Pod) -> None:
    run_id = pod.create_run()
    ended = pod.train(QUICK, run_id, MNIST_DATA=str(pod.folder))
    assert ended.returncode == 1
    assert f"the MNIST files are not in {pod.folder}/MNIST/raw; set MNIST_DATA" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert pod.run(run_id)["info"]["status"] == "FAILED"
