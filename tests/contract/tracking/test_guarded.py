"""Logins and certificates that are wrong, change, come late; and a training script with the pods' login."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from runwright.apis.v1alpha1 import TrainingRun
from runwright.errors import TrackerUnavailableError
from runwright.names import CA_FILE
from runwright.ports import Key, NewRun, TrackedRun
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from runwright.trainingrun import manifests
from runwright.trainingrun.environment import Tracked
from runwright.trainingrun.options import Options
from tests.contract.tracking.conftest import ENDED, FAST, Script, key_of
from tests.support.certificates import Authority
from tests.support.mlflow_guarded import CLIENT, OPERATOR, GuardedServer
from tests.support.until import until

New = Callable[..., NewRun]
Registries = Callable[..., TrackerRegistry]
HASTY = replace(FAST.client, reread_seconds=0.0)
TRAINING = """
import mlflow, pathlib
with mlflow.start_run():
    mlflow.log_param("epochs", 1)
    mlflow.log_metric("loss", 0.5, step=1)
    mlflow.set_tag("note", "from the script")
    pathlib.Path("model.txt").write_text("weights")
    mlflow.log_artifact("model.txt")
    mlflow.start_run(nested=True, run_name="fold")
    import os
    os._exit(0)
"""


@pytest.fixture
def mlflow_server(guarded_server: GuardedServer) -> Iterator[GuardedServer]:
    """The next test finds the Secrets as the server knows them."""
    yield guarded_server
    for who in (OPERATOR, CLIENT):
        username, password = guarded_server.login(who)
        guarded_server.vault[who] = {"username": username, "password": password}


def told(server: GuardedServer) -> str:
    return (
        f"MLflow at {server.uri} does not accept the user name and password of Secret {OPERATOR} (HTTP 401): "
        "put those that the server knows into it"
    )


# ---------------------------------------------------------------------------------------------------- the pods' side


def pod_environment(server: GuardedServer, run: TrackedRun, directory: Path) -> dict[str, str]:
    """What a kubelet makes of the Job's template: Secrets read, the ConfigMap with authorities as a file."""
    meta = {"name": "mnist", "namespace": CLIENT.namespace, "uid": "0a1b2c3d-0000-4000-8000-000000000000"}
    made = TrainingRun.from_dict({"metadata": meta, "spec": {"image": "trainer:1"}})
    tracked = Tracked(server.tracking, run.experiment_id, run.run_id)
    job = manifests.job(made, 1, tracked, (), Options(cluster_uid="cluster-1", default_stack=Key("tracking", "main")))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    authorities = directory / "ca.crt"
    authorities.write_text(manifests.ca_config_map(made, server.authority.pem)["data"]["ca.crt"])

    def value(entry: Mapping[str, Any]) -> str:
        if "valueFrom" not in entry:
            return str(entry["value"]).replace(CA_FILE, str(authorities))
        ref = entry["valueFrom"]["secretKeyRef"]
        return server.vault[Key(CLIENT.namespace, ref["name"])][ref["key"]]

    return {entry["name"]: value(entry) for entry in container["env"]}


async def test_a_script_with_the_pods_login_logs_to_the_run_that_the_operator_made(
    mlflow_server: GuardedServer, tracker: MLflowTracker, script: Script, new: New, tmp_path: Path
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    env = {"PATH": os.environ["PATH"], **pod_environment(mlflow_server, run, tmp_path), "HOME": str(tmp_path)}
    training = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TRAINING,
        env=env,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await training.communicate())[0].decode()
    assert training.returncode == 0, output
    read = await tracker.refresh(run.run_id)
    assert read is not None
    assert (read.params, read.metrics["loss"].value, read.tags["note"]) == ({"epochs": "1"}, 0.5, "from the script")
    assert script.get("get-artifact", run_id=run.run_id, path="model.txt").content == b"weights"
    (fold,) = script.post("runs/search", experiment_ids=[run.experiment_id], filter="attributes.run_name = 'fold'")[
        "runs"
    ]
    await tracker.close_run(run.run_id, "FINISHED", ENDED, tags={})
    assert (script.status(run.run_id), script.status(fold["info"]["run_id"])) == ("FINISHED", "KILLED")


async def test_the_pods_login_deletes_nothing_and_makes_no_users(
    mlflow_server: GuardedServer, tracker: MLflowTracker, new: New
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    username, _ = mlflow_server.login(OPERATOR)
    forbidden: list[tuple[str, str, dict[str, str]]] = [
        ("POST", "runs/delete", {"run_id": run.run_id}),
        ("POST", "experiments/delete", {"experiment_id": run.experiment_id}),
        ("POST", "users/create", {"username": "intruder", "password": "x" * 20}),
        ("PATCH", "users/update-password", {"username": username, "password": "x" * 20}),
    ]
    for method, call, body in forbidden:
        assert _as_client(mlflow_server, method, call, body) == requests.codes.forbidden, call


def _as_client(server: GuardedServer, method: str, call: str, body: dict[str, str]) -> int:
    url = f"{server.uri}/api/2.0/mlflow/{call}"
    login = server.login(CLIENT)
    return requests.request(method, url, json=body, auth=login, verify=server.verify, timeout=60).status_code


# ---------------------------------------------------------------------------------------------------- login


async def test_a_wrong_password_is_told_and_heals_when_the_secret_is_corrected(
    mlflow_server: GuardedServer, registries: Registries, new: New
) -> None:
    right = mlflow_server.vault[OPERATOR]
    mlflow_server.vault[OPERATOR] = {**right, "password": "a wrong password"}
    registry = registries(lambda _key: None, settings=replace(FAST, client=HASTY))
    tracker = registry(mlflow_server.tracking)
    with pytest.raises(TrackerUnavailableError) as raised:
        await tracker.create_run(new(), search_first=False)
    assert str(raised.value) == tracker.problem == told(mlflow_server)
    mlflow_server.vault[OPERATOR] = right
    await until(lambda: not tracker.problem, "the corrected Secret to be read")
    await tracker.create_run(new(), search_first=False)


async def test_a_password_that_changes_in_server_and_secret_is_noticed_by_nobody(
    mlflow_server: GuardedServer, tracker: MLflowTracker, calls: Counter[str], new: New
) -> None:
    run = await tracker.create_run(new("rotated"), search_first=False)
    mlflow_server.vault[OPERATOR] = mlflow_server.change_password(OPERATOR)
    calls.clear()
    await tracker.create_run(new("rotated"), search_first=False)
    assert calls == {"runs/create": 2}, "once with the old password, once with the new one"
    await tracker.upload(run, "logs/node-0.log", b"x")
    assert tracker.problem == ""


async def test_a_secret_that_follows_its_server_late_is_waited_for(
    mlflow_server: GuardedServer, registries: Registries, new: New
) -> None:
    enqueued: Counter[Key] = Counter()
    registry = registries(lambda key: enqueued.update([key]), settings=replace(FAST, client=HASTY))
    tracker = registry(mlflow_server.tracking)
    wanted = new()
    run = await tracker.create_run(wanted, search_first=False)
    tracker.follow(run.run_id, key_of(wanted))
    await until(lambda: tracker.seen(run.run_id), "the first view")
    changed = mlflow_server.change_password(OPERATOR)
    await until(lambda: tracker.problem == told(mlflow_server), "the poller to notice")
    before = enqueued[key_of(wanted)]
    mlflow_server.vault[OPERATOR] = changed
    await until(lambda: not tracker.problem, "the new Secret to be read")
    await until(lambda: enqueued[key_of(wanted)] > before, "the run to be looked at again")
    Script(mlflow_server).log(run.run_id, loss=1.0)
    await until(lambda: "loss" in getattr(tracker.seen(run.run_id), "metrics", {}), "polling goes on")


async def test_a_secret_that_comes_late_is_waited_for(
    mlflow_server: GuardedServer, registries: Registries, new: New
) -> None:
    secret = mlflow_server.vault.pop(OPERATOR)
    tracker = registries(lambda _key: None)(mlflow_server.tracking)
    missing = (
        f"Secret {OPERATOR}, with the operator's login to MLflow at {mlflow_server.uri}, is missing: "
        "create it with the keys username and password"
    )
    with pytest.raises(TrackerUnavailableError) as raised:
        await tracker.create_run(new(), search_first=False)
    assert str(raised.value) == tracker.problem == missing
    mlflow_server.vault[OPERATOR] = secret
    await until(lambda: not tracker.problem, "the Secret to be found")
    await tracker.create_run(new(), search_first=False)


# ---------------------------------------------------------------------------------------------------- TLS


async def test_other_authorities_are_told_and_the_right_ones_take_over_what_was_followed(
    mlflow_server: GuardedServer, tracker: MLflowTracker, script: Script, registries: Registries, new: New
) -> None:
    wanted = new()
    run = await tracker.create_run(wanted, search_first=False)
    enqueued: list[Key] = []
    registry = registries(enqueued.append, settings=replace(FAST, unused_seconds=0.0))
    wrong = replace(mlflow_server.tracking, ca_bundle=Authority().pem)
    stuck = registry(wrong)
    stuck.follow(run.run_id, key_of(wanted))
    await until(lambda: stuck.problem, "the poller to notice")
    assert stuck.problem == (
        f"MLflow at {mlflow_server.uri} does not answer: its certificate comes from an authority that is not trusted; "
        "put that authority (PEM) into the TrackingStack: server.external.caBundle, or ca.crt in the Secret of "
        "server.tlsSecretName"
    )
    enqueued.clear()
    registry.retain([mlflow_server.tracking])  # the stack was corrected
    assert enqueued == [key_of(wanted)]
    healed = registry(mlflow_server.tracking)
    healed.follow(run.run_id, key_of(wanted))
    script.log(run.run_id, loss=1.0)
    await until(lambda: "loss" in getattr(healed.seen(run.run_id), "metrics", {}), "polling goes on")
    await until(lambda: stuck.transport._closed, "the old one to go")


async def test_a_certificate_that_expired_is_told_and_heals_with_a_new_one(
    mlflow_server: GuardedServer, registries: Registries, new: New, tmp_path: Path
) -> None:
    tracker = registries(lambda _key: None)(mlflow_server.tracking)
    wanted = new()
    run = await tracker.create_run(wanted, search_first=False)
    tracker.follow(run.run_id, key_of(wanted))
    mlflow_server.kill()
    mlflow_server.certify(mlflow_server.authority.issue(tmp_path, "127.0.0.1", valid_for=-timedelta(days=1)))
    expired = "its certificate, or that of its authority, has expired; renew it"
    try:
        await until(lambda: expired in tracker.problem, "the expired certificate to be met", seconds=240)
    finally:
        mlflow_server.kill()
        await mlflow_server.restart()
    await until(lambda: not tracker.problem, "the new certificate to be met")


async def test_without_login_and_authorities_the_remedies_are_named(mlflow_server: GuardedServer) -> None:
    for changed, words in [
        (replace(mlflow_server.tracking, operator_secret=None), "credentialsSecretRef"),
        (replace(mlflow_server.tracking, ca_bundle=""), "server.external.caBundle"),
    ]:
        tracker = MLflowTracker(changed, HASTY, read_secret=mlflow_server.read_secret)
        with pytest.raises(TrackerUnavailableError, match=words):
            await tracker.ping()
        await tracker.aclose()
