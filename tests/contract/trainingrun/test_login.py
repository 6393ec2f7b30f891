"""A run tracked where a login is asked for and TLS spoken: from the stack's manifest to the closed MLflow run."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.trainingrun.conftest import Installed
from tests.contract.trainingrun.world import World
from tests.support.installed import NAMESPACE, grant
from tests.support.kubectl import wait_for
from tests.support.mlflow_guarded import CLIENT, OPERATOR, GuardedServer
from tests.support.mlflow_view import MLflowView
from tests.support.operator_process import OperatorProcess

RENEWED_SECONDS = 180
"""Should the operator ask the server between the change there and the one of the Secret, it reads the Secret again a
minute later."""
pytestmark = pytest.mark.contract


class Team:
    """A namespace with a stack of its own."""

    def __init__(self, world: World, server: GuardedServer) -> None:
        self.world = world
        self.server = server
        self.path = f"/apis/runwright.dev/v1alpha1/namespaces/{world.namespace}/trackingstacks/main"

    def make_stack(self) -> None:
        """The guarded server as an external one."""
        external = {
            "trackingUri": self.server.uri,
            "operatorSecretRef": {"name": OPERATOR.name},
            "credentialsSecretRef": {"name": CLIENT.name},
            "caBundle": self.server.authority.pem,
        }
        self.world.control_plane.client.apply(
            self.path,
            {
                "apiVersion": "runwright.dev/v1alpha1",
                "kind": "TrackingStack",
                "metadata": {"name": "main", "namespace": self.world.namespace},
                "spec": {"server": {"external": external}},
            },
        )

    def tell_operator(self) -> None:
        """The operator's Secret holds what the server knows."""
        username, password = self.server.login(OPERATOR)
        self.world.control_plane.client.apply(
            self.world.path("secrets", OPERATOR.name),
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": OPERATOR.name, "namespace": self.world.namespace},
                "stringData": {"username": username, "password": password},
            },
        )

    def ready(self) -> dict[str, Any]:
        """The stack's condition."""
        stack = self.world.control_plane.client.request("GET", self.path)
        conditions = stack.get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == "Ready"), {"status": "", "message": ""})

    def until_told(self, words: str) -> None:
        """Wait for the stack to say so."""
        wait_for(words, lambda: words in self.ready()["message"], 60)

    def until_ready(self) -> None:
        """Wait for the stack."""
        wait_for("the stack", lambda: self.ready()["status"] == "True", 60)

    def apply(self, name: str) -> None:
        """Apply a TrainingRun."""
        self.world.apply(name, tracking={"stackRef": {"name": "main"}}, parameters={"lr": "0.1"})


@pytest.fixture
def team(world: World, guarded_server: GuardedServer) -> Team:
    return Team(world, guarded_server)


@pytest.fixture
def view(guarded_server: GuardedServer) -> Callable[[], MLflowView]:
    """MLflow as a person with the operator's login sees it."""
    return lambda: MLflowView(guarded_server.uri, guarded_server.login(OPERATOR), str(guarded_server.ca_file))


def test_a_run_waits_for_rights_secret_and_login_and_is_tracked_to_its_end(
    installed: Installed, operator: OperatorProcess, team: Team, view: Callable[[], MLflowView]
) -> None:
    world = team.world
    team.make_stack()
    team.apply("first")
    team.until_told(f"the operator may not read Secret {world.namespace}/{OPERATOR.name}")
    grant(installed.control_plane, values={"stackNamespaces": [NAMESPACE, world.namespace]})
    team.until_told("is missing: create it with the keys username and password")
    assert world.objects("jobs") == []
    team.tell_operator()
    team.until_ready()

    (pod,) = world.pods(1)
    (container,) = pod["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    ref = {"name": CLIENT.name, "key": "password", "optional": False}
    assert env["MLFLOW_TRACKING_PASSWORD"]["valueFrom"]["secretKeyRef"] == ref
    (authorities,) = (
        c for c in world.objects("configmaps") if "ca.crt" in c["data"] and "-ca-" in c["metadata"]["name"]
    )
    assert authorities["data"]["ca.crt"] == team.server.authority.pem
    told = f'secret "{CLIENT.name}" not found'
    world.report(pod, "Pending", waiting={"reason": "CreateContainerConfigError", "message": told})
    wait_for("the missing login to be told", lambda: _reason(world.run("first"), "Running") == "LoginNotFound", 30)
    world.start([pod])
    world.until("first", "Running")
    world.finish([pod])
    run_id = world.until("first", "Succeeded")["tracking"]["runId"]
    wait_for("its end in MLflow", lambda: view().run(run_id)["status"] == "FINISHED", 60)
    assert view().run(run_id)["params"] == {"lr": "0.1"}
    assert "trainingrun.yaml" in view().artifacts(run_id)

    old = team.server.login(OPERATOR)
    team.server.change_password(OPERATOR)
    team.tell_operator()
    team.apply("second")
    (pod,) = (
        p for p in world.pods(2, seconds=RENEWED_SECONDS) if p["metadata"]["labels"]["runwright.dev/run"] == "second"
    )
    world.start([pod])
    world.finish([pod])
    world.until("second", "Succeeded")

    log = operator.log_path.read_text()
    for username, password in (old, team.server.login(OPERATOR), team.server.login(CLIENT)):
        assert password not in log
        assert b64encode(f"{username}:{password}".encode()).decode() not in log
        assert b64encode(password.encode()).decode() not in log


def _reason(run: dict[str, Any], kind: str) -> str:
    conditions = run.get("status", {}).get("conditions", ())
    return next((str(c["reason"]) for c in conditions if c["type"] == kind), "")
