import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from runwright.names import TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_PARENT_RUN
from runwright.ports import Key, NewRun
from runwright.tracking.breaker import BreakerSettings
from runwright.tracking.poller import PollSettings
from runwright.tracking.registry import RegistrySettings, TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from runwright.tracking.transport import ClientSettings
from tests.support.mlflow_fixtures import frail_server, guarded_server, mlflow_server  # noqa: F401 -- fixtures
from tests.support.mlflow_guarded import OPERATOR, GuardedServer
from tests.support.mlflow_server import MLflowServer

FAST = RegistrySettings(
    client=ClientSettings(
        connect_seconds=1.0, total_seconds=5.0, breaker=BreakerSettings(first_seconds=0.2, max_seconds=0.4)
    ),
    poll=PollSettings(few_seconds=0.1, many_seconds=0.2),
    second_look_seconds=0.3,
)
"""Shorter than in production, so that the tests are short; the mechanism is the same."""
HERE = Path(__file__).parent
STARTED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.contract)


class Script:
    """A training script's side: plain synchronous requests, as the pods' own client sends them."""

    def __init__(self, server: MLflowServer) -> None:
        self.uri = server.uri
        self._session = requests.Session()
        self._session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
        self._session.verify = server.verify
        if isinstance(server, GuardedServer):
            self._session.auth = server.login(OPERATOR)

    def post(self, call: str, **body: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self.uri}/api/2.0/mlflow/{call}", json=body, timeout=30)
        assert answer.ok, answer.text
        return dict(answer.json())

    def get(self, path: str, /, **query: str) -> requests.Response:
        answer = self._session.get(f"{self.uri}/{path}", params=query, timeout=30)
        assert answer.ok, answer.text
        return answer

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.get("api/2.0/mlflow/runs/get", run_id=run_id).json()["run"])

    def status(self, run_id: str) -> str:
        return str(self.run(run_id)["info"]["status"])

    def log(self, run_id: str, at: int = 0, **values: float | str) -> None:
        points = [
            {"key": k, "value": v, "timestamp": 1000 + i, "step": i} for i, (k, v) in enumerate(values.items(), at)
        ]
        self.post("runs/log-batch", run_id=run_id, metrics=points)

    def nested(self, experiment_id: str, parent: str, **tags: str) -> str:
        entries = [{"key": k.replace("__", "."), "value": v} for k, v in {TAG_PARENT_RUN: parent, **tags}.items()]
        made = self.post("runs/create", experiment_id=experiment_id, start_time=1, tags=entries)
        return str(made["run"]["info"]["run_id"])

    def close(self) -> None:
        self._session.close()

    def experiment(self, name: str) -> str:
        return str(self.post("experiments/create", name=name)["experiment_id"])


@pytest.fixture
def script(mlflow_server: MLflowServer) -> Iterator[Script]:  # noqa: F811 -- the fixture
    made = Script(mlflow_server)
    yield made
    made.close()


Connect = Callable[..., MLflowTracker]


@pytest.fixture
async def connect(mlflow_server: MLflowServer) -> AsyncIterator[Connect]:  # noqa: F811 -- the fixture
    """Makes trackers of the server, as operators that know nothing of each other."""
    made: list[MLflowTracker] = []

    def make(**options: Any) -> MLflowTracker:
        made.append(MLflowTracker(mlflow_server.tracking, read_secret=mlflow_server.read_secret, **options))
        return made[-1]

    yield make
    for tracker in made:
        await tracker.aclose()


@pytest.fixture
def calls() -> Counter[str]:
    """Requests sent by `tracker`, by endpoint."""
    return Counter()


@pytest.fixture
def tracker(connect: Connect, calls: Counter[str]) -> MLflowTracker:
    return connect(on_request=lambda call: calls.update([call]))


@pytest.fixture
def new() -> Callable[..., NewRun]:
    """Makes distinct NewRuns."""

    def make(experiment: str = "", cluster: str = "cluster-1", **changes: Any) -> NewRun:
        number = next(_numbers)
        values: dict[str, Any] = {
            "experiment": experiment or f"experiment-{number}",
            "run_name": f"run-{number}",
            "uid": f"uid-{number}",
            "start_time": STARTED,
            "tags": {TAG_CLUSTER: cluster, TAG_NAMESPACE: "team-a", TAG_NAME: f"run-{number}"},
        }
        return NewRun(**{**values, **changes})

    return make


def key_of(run: NewRun) -> Key:
    return Key(run.tags[TAG_NAMESPACE], run.tags[TAG_NAME])


@pytest.fixture
async def registries(mlflow_server: MLflowServer) -> AsyncIterator[Callable[..., TrackerRegistry]]:  # noqa: F811
    """Makes registries with short intervals, and closes them."""
    made: list[TrackerRegistry] = []

    def make(enqueue: Callable[[Key], None], **changes: Any) -> TrackerRegistry:
        registry = TrackerRegistry(
            "cluster-1", enqueue, **{"settings": FAST, "read_secret": mlflow_server.read_secret, **changes}
        )
        made.append(registry)
        return registry

    yield make
    for registry in made:
        await registry.aclose()
