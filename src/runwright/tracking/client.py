"""MLflow's REST API, as far as we use it: one coroutine per endpoint, no state.

MLflow's own client is synchronous and blocks for minutes when the server is away (measured: 248 s for one call).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Json, Metric, RunStatus
from runwright.tracking import answers, convert
from runwright.tracking.convert import StoredRun
from runwright.tracking.transport import Transport

View = Literal["ACTIVE_ONLY", "ALL"]
PAGE: Final = 1000
"""Runs per answer: 4 MB of JSON at 4 kB each. Page size makes no difference to the server's total time."""
CONVERTED_AT_ONCE: Final = 100
"""Runs, at 0.04 ms each."""
HISTORY_PAGE: Final = 10_000
EXPERIMENT_PAGE: Final = 5000


@dataclass(frozen=True, slots=True)
class Experiment:
    """An MLflow experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    deleted: bool


class MLflowClient:
    """Typed calls over a `Transport`."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    async def probe(self, *, early: bool = False) -> None:
        """Ask something cheap that needs the server's database (``/health`` answers without one)."""
        await self._http.call("GET", "experiments/search", params={"max_results": "1"}, early=early)

    async def experiment_by_name(self, name: str) -> Experiment | None:
        """The experiment, deleted ones included."""
        try:
            answer = await self._http.call("GET", "experiments/get-by-name", params={"experiment_name": name})
        except answers.MLflowRefusedError as error:
            if error.code == answers.DOES_NOT_EXIST:
                return None
            raise
        return _experiment(answer["experiment"])

    async def experiment(self, experiment_id: str) -> Experiment:
        """The experiment of an id."""
        answer = await self._http.call("GET", "experiments/get", params={"experiment_id": experiment_id})
        return _experiment(answer["experiment"])

    async def create_experiment(self, name: str) -> None:
        """Make an experiment; that somebody else just did is fine."""
        try:
            await self._http.call("POST", "experiments/create", json={"name": name})
        except answers.MLflowRefusedError as error:
            if error.code != answers.ALREADY_EXISTS:
                raise

    async def experiment_ids(self, view: View) -> list[str]:
        """Ids of all experiments."""
        query: dict[str, Any] = {"max_results": EXPERIMENT_PAGE, "view_type": view}
        found = await self._pages("POST", "experiments/search", query, "experiments")
        return [str(raw["experiment_id"]) for raw in found]

    async def create_run(
        self, experiment_id: str, name: str, start_time: datetime, tags: Mapping[str, str]
    ) -> StoredRun:
        """Make a run. Not idempotent: when the outcome is unclear it raises, and the caller has to search first."""
        answer = await self._http.call(
            "POST",
            "runs/create",
            repeatable=False,
            json={
                "experiment_id": experiment_id,
                "run_name": name,
                "start_time": convert.milliseconds(start_time),
                "tags": convert.entries(tags),
            },
        )
        return _run(answer.get("run"))

    async def run(self, run_id: str) -> StoredRun | None:
        """One run, deleted ones included; None when there is none."""
        try:
            answer = await self._http.call("GET", "runs/get", params={"run_id": run_id})
        except answers.MLflowRefusedError as error:
            if error.code == answers.DOES_NOT_EXIST:
                return None
            raise
        return _run(answer.get("run"))

    async def search_runs(
        self, experiment_ids: Sequence[str], filter_string: str, *, view: View = "ACTIVE_ONLY"
    ) -> list[StoredRun]:
        """All runs that match. Without experiments there are none: the API knows no wildcard."""
        if not experiment_ids:
            return []
        query: dict[str, Any] = {
            "experiment_ids": sorted(experiment_ids),
            "filter": filter_string,
            "run_view_type": view,
            "max_results": PAGE,
        }
        found: list[StoredRun] = []
        for chunk in convert.chunks(await self._pages("POST", "runs/search", query, "runs"), CONVERTED_AT_ONCE):
            found += map(_run, chunk)
            await asyncio.sleep(0)  # others of the event loop get their turn
        return found

    async def update_run(self, run_id: str, status: RunStatus, end_time: datetime) -> None:
        """Set state and end time.

        Raises:
            ValueError: the state is unknown; the server would answer 200 and change nothing.
        """
        if status not in convert.STATUSES:
            raise ValueError(f"MLflow knows no run status {status!r}: use one of {sorted(convert.STATUSES)}")
        body = {"run_id": run_id, "status": status, "end_time": convert.milliseconds(end_time)}
        await self._http.call("POST", "runs/update", json=body)

    async def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters, in as many batches as MLflow's limits ask for."""
        for batch in convert.batches(params):
            await self._http.call("POST", "runs/log-batch", json={"run_id": run_id, "params": convert.entries(batch)})

    async def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, in as many batches as MLflow's limits ask for."""
        for batch in convert.batches(tags):
            await self._http.call("POST", "runs/log-batch", json={"run_id": run_id, "tags": convert.entries(batch)})

    async def metric_history(self, run_id: str, metric: str) -> list[Metric]:
        """All points of a metric, in order of step, then time."""
        query = {"run_id": run_id, "metric_key": metric, "max_results": str(HISTORY_PAGE)}
        raw = await self._pages("GET", "metrics/get-history", query, "metrics")
        return sorted(map(convert.metric, raw), key=lambda point: (point.step, point.timestamp))

    async def upload(self, artifact_uri: str, path: str, content: bytes) -> None:
        """Store an artifact below a run's `artifact_uri` through the server's artifact proxy.

        Raises:
            RefusedError: the path leaves the run, or the artifacts are not served by this server.
        """
        parts = path.split("/")
        if not path or any(part in {"", ".", ".."} for part in parts):
            raise RefusedError(f"artifact path {path!r} is not a plain relative path such as logs/node-0.log")
        location = urlsplit(artifact_uri)
        # A netloc would name another server; the operator speaks to the one it was given, and to no other.
        if location.scheme != "mlflow-artifacts" or location.netloc:
            raise RefusedError(
                f"artifacts of this run are kept at {location.scheme or 'file'}://{location.netloc}, which the "
                "operator cannot write to: run the MLflow server with --serve-artifacts and "
                "--artifacts-destination, and use an experiment made after that"
            )
        root = [part for part in location.path.split("/") if part]
        await self._http.put("/".join([*root, *parts]), content)

    async def _pages(self, method: str, call: str, query: dict[str, Any], field: str) -> list[Json]:
        found: list[Json] = []
        while True:
            answer = (
                await self._http.call(method, call, params=query)
                if method == "GET"
                else await self._http.call(method, call, json=query)
            )
            found += answer.get(field) or []
            token = answer.get("next_page_token")
            if not token:
                return found
            query = {**query, "page_token": token}


def _run(raw: Any) -> StoredRun:
    try:
        return convert.stored_run(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrackerUnavailableError(
            f"MLflow answered with a run that cannot be read ({error}): check its version"
        ) from error


def _experiment(raw: Json) -> Experiment:
    return Experiment(
        experiment_id=str(raw["experiment_id"]),
        name=str(raw.get("name", "")),
        artifact_location=str(raw.get("artifact_location", "")),
        deleted=raw.get("lifecycle_stage") == "deleted",
    )
