from typing import Any

import pytest

from runwright.ports import Key, TrackingServer
from runwright.servers import server_of, servers_of

STATUS: dict[str, Any] = {
    "trackingUri": "https://main-mlflow.tracking.svc:5000",
    "uiUrl": "https://mlflow.example",
    "operatorSecretName": "main-mlflow-operator",
    "clientSecretName": "main-mlflow-client",
    "caBundle": "PEM",
}


def stack(status: Any, name: str = "main") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "tracking"}, "status": status}


def test_everything_that_clients_need_is_in_the_status() -> None:
    assert server_of(stack(STATUS), "team-a") == TrackingServer(
        "https://main-mlflow.tracking.svc:5000",
        "https://mlflow.example",
        shared=True,
        operator_secret=Key("tracking", "main-mlflow-operator"),
        client_secret="main-mlflow-client",
        ca_bundle="PEM",
    )


def test_a_server_without_login_and_authorities() -> None:
    assert server_of(stack({"trackingUri": "http://mlflow"}), "tracking") == TrackingServer("http://mlflow")


@pytest.mark.parametrize("status", [None, {}, {"uiUrl": "https://mlflow.example"}, {"trackingUri": ""}])
def test_a_stack_without_an_address_has_none(status: Any) -> None:
    assert server_of(stack(status), "team-a") is None


def test_a_stack_that_nothing_was_observed_of_has_none() -> None:
    assert server_of({"metadata": {"name": "main", "namespace": "tracking"}, "spec": {}}, "team-a") is None


def test_servers_of_all_stacks() -> None:
    stacks = [stack(STATUS), stack({}), stack({"trackingUri": "http://other"}, "other")]
    assert [server.uri for server in servers_of(stacks)] == [STATUS["trackingUri"], "http://other"]
