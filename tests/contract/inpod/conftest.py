"""The launcher against real MLflow servers: plain, and with login and TLS."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.inpod.launched import Pod
from tests.support.mlflow_fixtures import frail_server, guarded_server, mlflow_server  # noqa: F401 -- fixtures
from tests.support.mlflow_guarded import OPERATOR, GuardedServer
from tests.support.mlflow_server import MLflowServer

HERE = Path(__file__).parent
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.contract)


class Run:
    """An MLflow run as the operator makes it, and what its pods get to know of it."""

    def __init__(self, server: MLflowServer, **experiment: str) -> None:
        self.server = server
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = server.verify
        if isinstance(server, GuardedServer):
            self._session.auth = server.login(OPERATOR)
        made = self.post("experiments/create", name=f"launcher-{server.port}-{next(_numbers)}", **experiment)
        self.experiment_id = str(made["experiment_id"])
        self.info: dict[str, Any] = self.post("runs/create", experiment_id=self.experiment_id)["run"]["info"]

    @property
    def run_id(self) -> str:
        return str(self.info["run_id"])

    @property
    def env(self) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.server.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment_id,
            "MLFLOW_RUN_ID": self.run_id,
            "RUNWRIGHT_ATTEMPT": "2",
        }

    def post(self, call: str, **body: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self.server.uri}/api/2.0/mlflow/{call}", json=body, timeout=60)
        assert answer.ok, answer.text
        return dict(answer.json())

    def artifacts(self, path: str = "") -> list[str]:
        """Paths of all artifacts, as MLflow lists them."""
        query = {"run_id": self.run_id, **({"path": path} if path else {})}
        answer = self._session.get(f"{self.server.uri}/api/2.0/mlflow/artifacts/list", params=query, timeout=60).json()
        found: list[str] = []
        for item in answer.get("files", ()):
            found += self.artifacts(item["path"]) if item.get("is_dir") else [item["path"]]
        return found

    def artifact(self, path: str) -> bytes:
        """An artifact's content, as MLflow's user interface gets it."""
        query = {"run_uuid": self.run_id, "path": path}
        answer = self._session.get(f"{self.server.uri}/get-artifact", params=query, timeout=60)
        assert answer.ok, answer.text
        return answer.content


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    folder = tmp_path / "pod"
    folder.mkdir()
    found = Pod(folder)
    yield found
    found.close()
