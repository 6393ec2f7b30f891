"""An API server with Runwright's CRDs, for the tests marked `contract`."""

from collections.abc import Iterator

import pytest

from tests.apis.server import Server
from tests.cluster.controlplane import ControlPlane


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return an API server that serves the committed CRDs."""
    with ControlPlane() as control_plane, Server(control_plane.kubeconfig) as server:
        server.install_crds()
        server.create_namespace()
        yield server
