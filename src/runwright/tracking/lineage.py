"""Which RUNNING runs are nested below which, by the tag ``mlflow.parentRunId``."""

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from runwright.names import TAG_PARENT_RUN
from runwright.ports import TrackedRun
from runwright.tracking import convert
from runwright.tracking.client import MLflowClient
from runwright.tracking.coalesce import Coalescer
from runwright.tracking.experiments import EXPERIMENT_CHUNK, SEARCH_CHUNK

NESTED: Final = f"{convert.RUNNING} and tags.`{TAG_PARENT_RUN}` IS NOT NULL"
PARENTS_REMEMBERED: Final = 20_000
_RUN_ID: Final = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}", re.ASCII)
"""mlflow.utils.validation: the tag is the user's, and may hold anything."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A RUNNING nested run and the runs above it."""

    run: TrackedRun
    ancestors: tuple[str, ...]
    """Run ids, nearest first."""


class Lineage:
    """Finds the RUNNING runs below a run at any depth, through finished runs in between too.

    One search for every RUNNING nested run of the experiments asked about serves all callers of the moment: the API
    has neither OR nor IN on tags, and one search per parent would miss what hangs below a finished child.
    """

    def __init__(self, client: MLflowClient) -> None:
        self._client = client
        self._parents: OrderedDict[str, str] = OrderedDict()
        self._coalescer = Coalescer[str, list[Nested]](self._load)

    async def below(self, experiment_id: str, run_id: str) -> list[TrackedRun]:
        """The RUNNING runs below a run, deepest first. They live in the same experiment; strays are the sweeper's."""
        nested = await self._coalescer.get(experiment_id) or []
        ours = [(each.ancestors.index(run_id), each.run) for each in nested if run_id in each.ancestors]
        return [run for _, run in sorted(ours, key=lambda pair: -pair[0])]

    async def _load(self, experiments: frozenset[str]) -> Mapping[str, list[Nested]]:
        found: dict[str, list[Nested]] = {experiment: [] for experiment in experiments}
        for each in await self.running(sorted(experiments)):
            found[each.run.experiment_id].append(each)
        return found

    async def running(self, experiments: Collection[str]) -> list[Nested]:
        """All RUNNING nested runs of the experiments."""
        runs = [
            stored.run
            for chunk in convert.chunks(experiments, EXPERIMENT_CHUNK)
            for stored in await self._client.search_runs(chunk, NESTED)
        ]
        for run in runs:
            self._remember(run)
        await self._read_parents({parent_of(run) for run in runs}, experiments)
        return [Nested(run, self._ancestors(run.run_id)) for run in runs]

    async def _read_parents(self, wanted: Collection[str], experiments: Collection[str]) -> None:
        """Climb until every chain ends at a run without a parent, a circle, or nothing."""
        asked: set[str] = set()
        level = {run_id for run_id in wanted if run_id and run_id not in self._parents}
        while level:
            asked |= level
            above: set[str] = set()
            for ids in convert.chunks(sorted(level), SEARCH_CHUNK):
                for chunk in convert.chunks(experiments, EXPERIMENT_CHUNK):
                    for stored in await self._client.search_runs(chunk, convert.run_id_filter(ids), view="ALL"):
                        self._remember(stored.run)
                        above.add(parent_of(stored.run))
            level = {run_id for run_id in above if run_id and run_id not in self._parents} - asked

    def _remember(self, run: TrackedRun) -> None:
        self._parents[run.run_id] = parent_of(run)
        self._parents.move_to_end(run.run_id)
        if len(self._parents) > PARENTS_REMEMBERED:
            self._parents.popitem(last=False)

    def _ancestors(self, run_id: str) -> tuple[str, ...]:
        chain: list[str] = []
        above = self._parents.get(run_id, "")
        while above and above != run_id and above not in chain:
            chain.append(above)
            above = self._parents.get(above, "")
        return tuple(chain)


def parent_of(run: TrackedRun) -> str:
    """The id in the run's parent tag; ``""`` when there is none that could be a run's."""
    parent = run.tags.get(TAG_PARENT_RUN, "")
    return parent if _RUN_ID.fullmatch(parent) else ""
