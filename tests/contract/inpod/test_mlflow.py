"""What the launcher stores is where MLflow looks for it; what MLflow does never changes the exit code."""

import json
import os
import sys

import pytest

from tests.contract.inpod.conftest import Run
from tests.inpod.launched import Pod, said, until
from tests.support.mlflow_guarded import CLIENT, GuardedServer
from tests.support.mlflow_server import MLflowServer

LOG = "logs/attempt-2/node-0.log"
RECORDED = ["environment/attempt-2/node-0.json", "environment/attempt-2/requirements.txt"]
SCRIPT = (sys.executable, "-c", "print('line'); raise SystemExit(3)")
WANT = b"line\n[runwright] the script exited with code 3\n"


@pytest.mark.parametrize("told", [True, False])
def test_mlflow_lists_and_serves_what_was_stored(mlflow_server: MLflowServer, pod: Pod, told: bool) -> None:
    run = Run(mlflow_server)
    env = {**run.env, "RUNWRIGHT_UPLOAD_SECONDS": "60"}
    if told:
        env["RUNWRIGHT_ARTIFACT_URI"] = run.info["artifact_uri"]
    launched = pod.run(*SCRIPT, env=env)
    assert launched.process.returncode == 3
    assert sorted(run.artifacts()) == sorted([*RECORDED, LOG])
    assert run.artifact(LOG) == WANT
    assert json.loads(run.artifact(RECORDED[0]))["python"]["version"] == sys.version
    assert b"pytest==" in run.artifact(RECORDED[1])
    assert said(launched)["environment"] is True
    assert launched.told.log == LOG


def test_a_log_of_sixteen_megabytes(mlflow_server: MLflowServer, pod: Pod) -> None:
    run = Run(mlflow_server)
    whole = os.urandom(16 << 20)
    (pod.folder / "data").write_bytes(whole)
    launched = pod.run("cat", "data", env={**run.env, "RUNWRIGHT_NODE": "5", "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    assert launched.told.log == "logs/attempt-2/node-5.log"
    assert run.artifact("logs/attempt-2/node-5.log") == whole


def test_a_later_upload_replaces_an_earlier_one(mlflow_server: MLflowServer, pod: Pod) -> None:
    run = Run(mlflow_server)
    script = "trap '' TERM; echo first; while [ ! -e enough ]; do sleep 0.05; done; echo last"
    launched = pod.start("sh", "-c", script, env={**run.env, "RUNWRIGHT_NODE": "1", "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    launched.wait_for(b"first")
    launched.send(15)
    until(run.artifacts, "the upload at SIGTERM")
    assert b"last" not in run.artifact("logs/attempt-2/node-1.log")
    (pod.folder / "enough").touch()
    assert launched.end() == 143
    assert b"\nlast\n" in run.artifact("logs/attempt-2/node-1.log")


def test_a_run_that_is_over_or_deleted_still_takes_its_log(mlflow_server: MLflowServer, pod: Pod) -> None:
    run = Run(mlflow_server)
    run.post("runs/update", run_id=run.run_id, status="KILLED")
    run.post("runs/delete", run_id=run.run_id)
    launched = pod.run(*SCRIPT, env={**run.env, "RUNWRIGHT_NODE": "1", "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    assert launched.told.log == "logs/attempt-2/node-1.log"


def test_an_unknown_run(mlflow_server: MLflowServer, pod: Pod) -> None:
    env = {"MLFLOW_TRACKING_URI": mlflow_server.uri, "MLFLOW_RUN_ID": "0" * 32, "RUNWRIGHT_UPLOAD_SECONDS": "60"}
    launched = pod.run(*SCRIPT, env=env)
    assert launched.process.returncode == 3
    assert launched.told.problem.startswith("127.0.0.1 answered 404: ")
    assert "RESOURCE_DOES_NOT_EXIST" in launched.told.problem


def test_artifacts_that_the_server_does_not_serve(mlflow_server: MLflowServer, pod: Pod) -> None:
    run = Run(mlflow_server, artifact_location="s3://elsewhere/7")
    launched = pod.run(*SCRIPT, env={**run.env, "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    assert launched.process.returncode == 3
    assert launched.told.problem == "this run's artifacts are at s3://elsewhere, and not behind the tracking server"


def test_a_host_that_the_server_does_not_allow(mlflow_server: MLflowServer, pod: Pod) -> None:
    run = Run(mlflow_server)
    uri = mlflow_server.uri.replace("127.0.0.1", "localhost")
    launched = pod.run(*SCRIPT, env={**run.env, "MLFLOW_TRACKING_URI": uri, "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    assert launched.process.returncode == 3
    assert launched.told.problem.startswith("localhost answered 403")


def test_a_server_that_is_paused(frail_server: MLflowServer, pod: Pod) -> None:
    run = Run(frail_server)
    frail_server.pause()
    launched = pod.run(*SCRIPT, env={**run.env, "RUNWRIGHT_UPLOAD_SECONDS": "2"})
    assert launched.process.returncode == 3
    assert launched.told.problem
    assert launched.told.tail == "line"


def test_a_server_that_comes_back_in_time(frail_server: MLflowServer, pod: Pod) -> None:
    """The environment waits beside the script; the log is stored at the end."""
    run = Run(frail_server)
    frail_server.kill()
    script = "while [ ! -e enough ]; do sleep 0.1; done"
    launched = pod.start("sh", "-c", script, env={**run.env, "RUNWRIGHT_UPLOAD_SECONDS": "60"})
    frail_server.start()
    until(lambda: len(run.artifacts()) == 2, "the environment")
    (pod.folder / "enough").touch()
    assert launched.end() == 0
    assert sorted(run.artifacts()) == sorted([*RECORDED, LOG])


def test_login_and_tls_as_a_user_of_no_special_rights(guarded_server: GuardedServer, pod: Pod) -> None:
    run = Run(guarded_server)
    user, password = guarded_server.login(CLIENT)
    env = {
        **run.env,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(guarded_server.ca_file),
        "RUNWRIGHT_UPLOAD_SECONDS": "60",
    }
    launched = pod.run(*SCRIPT, env=env)
    assert launched.told.problem == ""
    assert run.artifact(LOG) == WANT
    assert sorted(run.artifacts()) == sorted([*RECORDED, LOG])
    assert password.encode() not in b"".join(run.artifact(path) for path in run.artifacts())
    refused = pod.run(*SCRIPT, env={**env, "MLFLOW_TRACKING_PASSWORD": "wrong"})
    assert refused.process.returncode == 3
    assert refused.told.problem.startswith("127.0.0.1 answered 401")
