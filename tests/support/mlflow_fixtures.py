"""Fixtures around a real MLflow server: import them in a conftest."""

from collections.abc import Iterator

import pytest

from tests.support.mlflow_server import MLflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """One server for all tests of the session: do not stop or pause it."""
    with MLflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
