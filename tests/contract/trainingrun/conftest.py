"""The real operator on a real API server with the real Job controller and a real MLflow; the tests are the kubelet."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane, Settings
from tests.contract.trainingrun.world import World
from tests.support.installed import NAMESPACE, install
from tests.support.mlflow_fixtures import guarded_server, mlflow_server
from tests.support.mlflow_server import MLflowServer
from tests.support.operator_process import OperatorProcess

__all__ = ["guarded_server", "mlflow_server"]

STACK = "/apis/runwright.dev/v1alpha1/namespaces/runwright-system/trackingstacks/default"


@dataclass(frozen=True)
class Installed:
    """An API server with Runwright's CRDs and rights, a Job controller and a TrackingStack."""

    control_plane: ControlPlane
    kubeconfig: Path
    environ: dict[str, str]


@pytest.fixture(scope="session")
def installed(mlflow_server: MLflowServer) -> Iterator[Installed]:
    with ControlPlane(settings=Settings(controller_manager=True)) as control_plane:
        kubeconfig = install(control_plane)
        stack = {
            "apiVersion": "runwright.dev/v1alpha1",
            "kind": "TrackingStack",
            "metadata": {"name": "default", "namespace": NAMESPACE},
            "spec": {"server": {"external": {"trackingUri": mlflow_server.uri}}},
        }
        control_plane.client.apply(STACK, stack)
        environ = {"RUNWRIGHT_DEFAULT_STACK": f"{NAMESPACE}/default", "RUNWRIGHT_LEASE_NAMESPACE": NAMESPACE}
        yield Installed(control_plane, kubeconfig, environ)


@pytest.fixture(scope="session")
def operator(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with OperatorProcess(installed.kubeconfig, tmp_path_factory.mktemp("operator"), installed.environ) as process:
        client = installed.control_plane.client
        process.wait_for(lambda: client.request("GET", STACK).get("status", {}).get("trackingUri"), "the stack")
        yield process
        assert "Traceback" not in process.log_path.read_text()


@pytest.fixture
def world(installed: Installed) -> World:
    return World.new(installed.control_plane)
