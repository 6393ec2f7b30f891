"""Which experiment a name means and where a run lives: caches of facts that do not change while they exist."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.tracking import convert
from runwright.tracking.client import Experiment, MLflowClient
from runwright.tracking.convert import StoredRun

RUNS_REMEMBERED: Final = 20_000
"""Run id -> experiment id; an evicted run costs one more request."""
SEARCH_CHUNK: Final = 500
"""Ids in one ``run_id IN``: 2,000 work, 5,000 are a parse error (measured on 3.17.2)."""
EXPERIMENT_CHUNK: Final = 5000
"""Experiments in one search: each is a bound SQL variable (SQLite takes 32,766)."""
SINGLE_READS: Final = 2
"""Up to so many runs of unknown experiment are read one by one instead of searched in all experiments."""


class Experiments:
    """Experiments by name, made when missing."""

    def __init__(self, client: MLflowClient) -> None:
        self._client = client
        self._ids: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._locations: dict[str, str] = {}

    async def id_of(self, name: str) -> str:
        """The experiment's id; it is created when there is none.

        Raises:
            RefusedError: it was deleted: its name stays taken and it accepts no runs.
        """
        if name in self._ids:
            return self._ids[name]
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._ids:
                found = await self._find_or_create(name)
                self._ids[name] = found.experiment_id
                self._locations[found.experiment_id] = found.artifact_location
        return self._ids[name]

    async def _find_or_create(self, name: str) -> Experiment:
        found = await self._client.experiment_by_name(name)
        if found is None:
            # Two creators race to an error for one of them; either way it exists afterwards.
            await self._client.create_experiment(name)
            found = await self._client.experiment_by_name(name)
        if found is None:
            raise TrackerUnavailableError(f"MLflow experiment {name!r} was made and is gone again")
        if found.deleted:
            raise RefusedError(
                f"MLflow experiment {name!r} is deleted and its name is still taken: restore it (mlflow experiments "
                f"restore --experiment-id {found.experiment_id}) or choose another spec.tracking.experiment"
            )
        return found

    def forget(self, name: str) -> None:
        """Drop a name that turned out to be stale (experiment deleted, database replaced)."""
        self._ids.pop(name, None)

    async def artifact_uri(self, experiment_id: str, run_id: str) -> str:
        """Where the run's artifacts are: MLflow derives it from the experiment's location."""
        if experiment_id not in self._locations:
            self._locations[experiment_id] = (await self._client.experiment(experiment_id)).artifact_location
        return f"{self._locations[experiment_id]}/{run_id}/artifacts"


class RunLocator:
    """Reads runs by id. MLflow's search wants their experiments named, so it remembers them."""

    def __init__(self, client: MLflowClient) -> None:
        self._client = client
        self._experiments: OrderedDict[str, str] = OrderedDict()

    def remember(self, found: StoredRun) -> None:
        """Note where the run lives."""
        self._experiments[found.run.run_id] = found.run.experiment_id
        self._experiments.move_to_end(found.run.run_id)
        if len(self._experiments) > RUNS_REMEMBERED:
            self._experiments.popitem(last=False)

    async def experiment_of(self, run_id: str) -> str | None:
        """The run's experiment; None when there is no such run."""
        if run_id not in self._experiments:
            await self._read_one(run_id)
        return self._experiments.get(run_id)

    async def read(self, run_ids: Iterable[str]) -> dict[str, StoredRun]:
        """The runs that exist, deleted ones included: one search per `SEARCH_CHUNK` of them."""
        found: dict[str, StoredRun] = {}
        known: list[str] = []
        unknown: list[str] = []
        for run_id in sorted(set(run_ids)):
            (known if run_id in self._experiments else unknown).append(run_id)
        for chunk in convert.chunks(known, SEARCH_CHUNK):
            found |= await self._search(chunk, sorted({self._experiments[run_id] for run_id in chunk}))
        if len(unknown) <= SINGLE_READS:
            for run_id in unknown:
                found |= await self._read_one(run_id)
            return found
        everywhere = await self._client.experiment_ids("ALL")
        for chunk in convert.chunks(unknown, SEARCH_CHUNK):
            found |= await self._search(chunk, everywhere)
        return found

    async def _read_one(self, run_id: str) -> dict[str, StoredRun]:
        stored = await self._client.run(run_id)
        if stored is None:
            return {}
        self.remember(stored)
        return {run_id: stored}

    async def _search(self, run_ids: Sequence[str], experiments: Sequence[str]) -> dict[str, StoredRun]:
        found: dict[str, StoredRun] = {}
        for chunk in convert.chunks(experiments, EXPERIMENT_CHUNK):
            for stored in await self._client.search_runs(chunk, convert.run_id_filter(run_ids), view="ALL"):
                self.remember(stored)
                found[stored.run.run_id] = stored
        return found
