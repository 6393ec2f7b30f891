"""The real operator with the real helm and charts on a real API server with its controllers; the tests are the kubelet.

The server of a stack never answers here: its name resolves in a cluster only. tests/e2e goes on from there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts import helm
from tests.cluster.controlplane import ControlPlane, Settings
from tests.contract.trackingstack.world import CLASSES, StackWorld
from tests.support.installed import NAMESPACE, install
from tests.support.operator_process import OperatorProcess


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    return install(control_plane)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane(settings=Settings(controller_manager=True)) as control_plane:
        for manifest in CLASSES:
            where = f"/apis/storage.k8s.io/v1/storageclasses/{manifest['metadata']['name']}"
            control_plane.client.apply(where, manifest)
        yield control_plane


@pytest.fixture(scope="session")
def operator(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    environ = {
        "RUNWRIGHT_LEASE_NAMESPACE": NAMESPACE,
        "RUNWRIGHT_HELM": helm.binary(),
        "RUNWRIGHT_CHARTS": str(helm.CHARTS),
    }
    with OperatorProcess(kubeconfig, tmp_path_factory.mktemp("operator"), environ) as process:
        yield process
        assert "Traceback" not in process.log_path.read_text()


@pytest.fixture
def world(control_plane: ControlPlane, operator: OperatorProcess) -> StackWorld:
    """A namespace in which stacks may be made."""
    world = StackWorld.new(control_plane)
    world.grant()
    return world
