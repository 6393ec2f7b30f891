"""The orphan sweeper: no MLflow run of this cluster stays RUNNING without a TrainingRun behind it.

It stands in for a finalizer: a TrainingRun may be deleted while the tracker, or the operator, is away.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final, TypeGuard

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.names import TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_REASON
from runwright.ports import Key, OrphanVerdict, ResolveOrphan, RunStatus, TrackedRun
from runwright.tracking import closing, convert, metrics
from runwright.tracking.experiments import EXPERIMENT_CHUNK, SEARCH_CHUNK
from runwright.tracking.tracker import MLflowTracker

log = logging.getLogger(__name__)
INTERVAL_SECONDS: Final = 600.0
JITTER: Final = 0.1
RETRY_SECONDS: Final = 5.0
"""After a round that failed."""
WAIT_SECONDS: Final = 15.0
"""To the next round when somebody's answer was ``wait``."""
GATHER_SECONDS: Final = 0.2
"""From a request to the round: a namespace's TrainingRuns are deleted together."""
REASON: Final = "Orphaned"
"""Value of the tag ``runwright.reason`` on runs whose TrainingRun is no more."""


class Sweeper:
    """Looks for orphans at start, on request, when the tracker comes back, and every ten minutes.

    Args:
        tracker: The server.
        cluster_uid: Only runs tagged with it are looked at: a server may serve several clusters.
        resolve: Says what to do with a run. It is asked about RUNNING runs of the cluster, and about the run at the
            top of RUNNING nested ones when that top is in a terminal state already; there a state means: close the
            nested ones, and everything else: leave them.
        enqueue: Called with the TrainingRun of a run to ``reconcile``.
        interval: Seconds between rounds.
        now: The time that closed runs end at.
    """

    def __init__(
        self,
        tracker: MLflowTracker,
        cluster_uid: str,
        resolve: ResolveOrphan,
        enqueue: Callable[[Key], None],
        *,
        interval: float = INTERVAL_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tracker = tracker
        self._cluster_uid = cluster_uid
        self._resolve = resolve
        self._enqueue = enqueue
        self._interval = interval
        self._now = now
        self._requested = asyncio.Event()
        self.rounds = 0
        """Rounds that ended well."""

    def request(self) -> None:
        """Sweep soon."""
        self._requested.set()

    async def run(self) -> None:
        """Sweep until canceled; a failed round is tried again, as soon as the server answers when it was away."""
        while True:
            self._requested.clear()
            pause = self._interval * (1 - JITTER * random.random())  # noqa: S311 -- jitter, not a secret
            try:
                if await self.sweep():
                    pause = min(pause, WAIT_SECONDS)
                metrics.SWEEPS.labels("ok").inc()
            except TrackerUnavailableError as error:
                log.info("orphans will be looked for when the tracker answers: %s", error)
                metrics.SWEEPS.labels("unavailable").inc()
                pause = RETRY_SECONDS
            except Exception:
                log.exception("looking for orphans on %s failed", self._tracker.transport.name)
                metrics.SWEEPS.labels("error").inc()
                pause = RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._requested.wait()
                    await asyncio.sleep(min(GATHER_SECONDS, pause))
            except TimeoutError:
                continue

    async def sweep(self) -> bool:
        """One round; whether some run is to be asked about again soon."""
        experiments = await self._tracker.client.experiment_ids("ACTIVE_ONLY")
        running = [
            stored
            for chunk in convert.chunks(experiments, EXPERIMENT_CHUNK)
            for stored in await self._tracker.client.search_runs(
                chunk, f"{convert.RUNNING} and {convert.tag_is(TAG_CLUSTER, self._cluster_uid)}"
            )
        ]
        verdicts: list[OrphanVerdict] = []
        for stored in running:
            self._tracker.locator.remember(stored)
            verdicts.append(await self._verdict(stored.run))
            await self._one(stored.run, verdicts[-1])
        verdicts += await self._nested(experiments)
        self.rounds += 1
        return "wait" in verdicts

    async def _one(self, run: TrackedRun, verdict: OrphanVerdict) -> None:
        if verdict == "reconcile":
            self._enqueue(_key(run))
        if not _is_end(verdict):
            return
        tags = {TAG_REASON: REASON} if verdict == "KILLED" and TAG_REASON not in run.tags else {}
        try:
            await self._tracker.close_run(run.run_id, verdict, self._now(), tags=tags)
        except RefusedError:
            log.exception("orphaned MLflow run %s cannot be closed", run.run_id)
            return
        log.warning("closed orphaned MLflow run %s of TrainingRun %s: %s", run.run_id, _key(run), verdict)
        metrics.ORPHANS.labels(verdict).inc()

    async def _verdict(self, run: TrackedRun) -> OrphanVerdict:
        try:
            return await self._resolve(run)
        except Exception:
            # The API server may be away; a run is never closed on a guess.
            log.exception("cannot tell whether MLflow run %s is an orphan", run.run_id)
            return "leave"

    async def _nested(self, experiments: Collection[str]) -> Collection[OrphanVerdict]:
        """Close RUNNING nested runs that a run of ours left behind when it ended; the answers about such runs."""
        nested = await self._tracker.lineage.running(experiments)
        above = await self._read({ancestor for each in nested for ancestor in each.ancestors}, experiments)
        verdicts: dict[str, OrphanVerdict] = {}
        for each in sorted(nested, key=lambda found: -len(found.ancestors)):
            if each.run.tags.get(TAG_CLUSTER) == self._cluster_uid:
                continue  # it has a TrainingRun of its own, which was asked about
            top = next(
                (
                    above[run_id]
                    for run_id in each.ancestors
                    if run_id in above and above[run_id].tags.get(TAG_CLUSTER) == self._cluster_uid
                ),
                None,
            )
            if top is None or not _is_end(top.status):
                continue
            if top.run_id not in verdicts:
                verdicts[top.run_id] = await self._verdict(top)
            if not _is_end(verdicts[top.run_id]):
                continue
            status = closing.nested_status(top.status)
            await closing.set_status(self._tracker.client, each.run.run_id, status, self._now())
            log.warning("closed MLflow run %s, left RUNNING below %s: %s", each.run.run_id, top.run_id, status)
            metrics.ORPHANS.labels(status).inc()
        return verdicts.values()

    async def _read(self, run_ids: Collection[str], experiments: Collection[str]) -> dict[str, TrackedRun]:
        found: dict[str, TrackedRun] = {}
        for ids in convert.chunks(sorted(run_ids), SEARCH_CHUNK):
            for chunk in convert.chunks(experiments, EXPERIMENT_CHUNK):
                for stored in await self._tracker.client.search_runs(chunk, convert.run_id_filter(ids), view="ALL"):
                    found[stored.run.run_id] = stored.run
        return found


def _is_end(verdict: OrphanVerdict) -> TypeGuard[RunStatus]:
    return verdict in {"FINISHED", "FAILED", "KILLED"}


def _key(run: TrackedRun) -> Key:
    return Key(run.tags.get(TAG_NAMESPACE, ""), run.tags.get(TAG_NAME, ""))
