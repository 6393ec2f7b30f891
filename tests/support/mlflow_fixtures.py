"""Fixtures around a real MLflow server: import them in a conftest."""

from collections.abc import Iterator

import pytest

from tests.support.mlflow_guarded import GuardedServer
from tests.support.mlflow_server import MLflowServer, free_port


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """One server for all tests of the session (a start costs 12 s of CPU); it knows itself by address only.

    A test that stops or pauses it asks for `frail_server`.
    """
    port = free_port()
    directory = tmp_path_factory.mktemp("mlflow")
    with MLflowServer(directory, port=port, allowed_hosts=f"127.0.0.1:{port}") as server:
        yield server


@pytest.fixture(scope="session")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """One that asks for a login and speaks TLS; who changes its users or authority gives them back."""
    port = free_port()
    with GuardedServer(tmp_path_factory.mktemp("guarded"), port=port, allowed_hosts=f"127.0.0.1:{port}") as server:
        yield server


@pytest.fixture
def frail_server(mlflow_server: MLflowServer) -> Iterator[MLflowServer]:
    """The session's server, to be killed and paused: it runs again for the next test."""
    yield mlflow_server
    mlflow_server.resume()
    if not mlflow_server.running:
        mlflow_server.start()
