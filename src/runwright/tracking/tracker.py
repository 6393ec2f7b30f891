"""`ports.Tracker` over one MLflow server."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from runwright.errors import RefusedError
from runwright.names import TAG_UID
from runwright.ports import Key, Metric, NewRun, RunStatus, TrackedRun, TrackingServer
from runwright.tracking import answers, closing, convert
from runwright.tracking.client import MLflowClient
from runwright.tracking.coalesce import Coalescer
from runwright.tracking.credentials import SecretReader, no_secrets
from runwright.tracking.experiments import Experiments, RunLocator
from runwright.tracking.follow import SECOND_LOOK_SECONDS, Followed, Look
from runwright.tracking.lineage import Lineage
from runwright.tracking.transport import ClientSettings, Transport

log = logging.getLogger(__name__)
_SHOWN: Final = 5


class MLflowTracker:
    """One MLflow server: the life-cycle of runs. Polling is `Poller`'s, orphans are `Sweeper`'s.

    Args:
        server: Where it is and how to log in.
        settings: Time-outs, concurrency, breaker.
        read_secret: Reads the Secret of the login.
        second_look_seconds: From closing a run to checking it once more.
        on_request: Called with each request's endpoint, retries included (tests count with it).
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        server: TrackingServer,
        settings: ClientSettings | None = None,
        *,
        read_secret: SecretReader = no_secrets,
        second_look_seconds: float = SECOND_LOOK_SECONDS,
        on_request: Callable[[str], None] = lambda _call: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = Transport(
            server, settings or ClientSettings(), read_secret=read_secret, on_request=on_request, clock=clock
        )
        self.client = MLflowClient(self.transport)
        self.locator = RunLocator(self.client)
        self.lineage = Lineage(self.client)
        self.followed = Followed()
        self.clock = clock
        self.on_work: Callable[[], None] = lambda: None
        """Called when the poller has something new to plan for."""
        self.second_look_seconds = second_look_seconds
        self._experiments = Experiments(self.client)
        self._refreshes = Coalescer[str, TrackedRun](self._read)

    @property
    def problem(self) -> str:
        """Why the server is considered away; ``""`` while it answers."""
        return self.transport.breaker.problem

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    async def ping(self) -> None:
        """Ask whether the server and its database answer; ends an open circuit early when they do."""
        await self.client.probe(early=True)

    async def create_run(self, new: NewRun, *, search_first: bool) -> TrackedRun:
        """Make the run, and its experiment when missing; with `search_first` adopt the oldest of the same uid."""
        try:
            return await self._create(new, await self._experiments.id_of(new.experiment), search_first=search_first)
        except answers.MLflowRefusedError as error:
            self._experiments.forget(new.experiment)
            if error.code != answers.DOES_NOT_EXIST:
                raise
        # The remembered experiment has left the server (its database was replaced): find or make it once more.
        return await self._create(new, await self._experiments.id_of(new.experiment), search_first=search_first)

    async def _create(self, new: NewRun, experiment_id: str, *, search_first: bool) -> TrackedRun:
        if search_first:
            found = await self.client.search_runs([experiment_id], convert.tag_is(TAG_UID, new.uid))
            if found:
                oldest = min(found, key=lambda stored: (stored.start_ms, stored.run.run_id))
                self.locator.remember(oldest)
                return oldest.run
        made = await self.client.create_run(experiment_id, new.run_name, new.start_time, {**new.tags, TAG_UID: new.uid})
        self.locator.remember(made)
        return made.run

    async def find_recorded(self, experiment: str, tags: Mapping[str, str]) -> TrackedRun | None:
        """Find the newest FINISHED run of an experiment that has all these tags; None when there is none."""
        known = await self.client.experiment_by_name(experiment)
        if known is None or known.deleted:
            return None
        wanted = " and ".join((convert.FINISHED, *(convert.tag_is(name, value) for name, value in tags.items())))
        found = await self.client.search_runs([known.experiment_id], wanted)
        newest = max(found, key=lambda stored: (stored.start_ms, stored.run.run_id), default=None)
        return newest.run if newest is not None else None

    async def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters. Where the script was first with other values, its values stay and the rest is logged.

        Raises:
            RefusedError: some were logged before with another value; the message names them.
        """
        try:
            await self.client.log_params(run_id, params)
        except answers.MLflowRefusedError as error:
            if "Changing param values is not allowed" not in str(error):
                raise
        else:
            return
        # MLflow refuses a whole batch for one such parameter.
        stored = (await self.locator.read([run_id])).get(run_id)
        logged = stored.run.params if stored else {}
        await self.client.log_params(run_id, {key: value for key, value in params.items() if key not in logged})
        drift = [
            f"{key}={logged[key]!r} (wanted {value!r})"
            for key, value in params.items()
            if logged.get(key, value) != value
        ]
        if drift:
            more = f" and {len(drift) - _SHOWN} more" if len(drift) > _SHOWN else ""
            raise RefusedError(
                f"the script logged parameters with other values before, and MLflow never changes one: "
                f"{', '.join(drift[:_SHOWN])}{more}; the others were logged",
                status=400,
            )

    async def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags in one batch."""
        if tags:
            await self.client.set_tags(run_id, tags)

    async def refresh(self, run_id: str) -> TrackedRun | None:
        """Read the run now; concurrent calls share one search. None when the server does not know it."""
        return await self._refreshes.get(run_id)

    async def _read(self, run_ids: frozenset[str]) -> Mapping[str, TrackedRun]:
        found = {run_id: stored.run for run_id, stored in (await self.locator.read(run_ids)).items()}
        for run in found.values():
            self.followed.record(run)
        return found

    async def metric_history(self, run: TrackedRun, metric: str) -> Sequence[Metric]:
        """All points of one metric, in order of step."""
        return await self.client.metric_history(run.run_id, metric)

    async def close_run(self, run_id: str, status: RunStatus, end_time: datetime, *, tags: Mapping[str, str]) -> None:
        """Write tags, close what is nested below, write the state, stop following, plan the second look.

        A run that was deleted in MLflow (by a person, with its experiment, by ``mlflow gc``) has nothing to be closed:
        that is success. Repeating a close that was interrupted is safe.
        """
        experiment_id = await self.locator.experiment_of(run_id)
        closed = experiment_id is not None and await self._close(experiment_id, run_id, status, end_time, tags)
        self.unfollow(run_id)
        if not closed:
            log.warning("MLflow run %s is gone from %s; nothing to close", run_id, self.transport.name)
            return
        self.look_again(Look(run_id=run_id, status=status, end_time=end_time))
        self.on_work()

    def look_again(self, look: Look) -> None:
        """Plan a second look, at one of few moments: the looks of a moment share a search."""
        step = self.second_look_seconds / 2
        due = math.ceil((self.clock() + self.second_look_seconds) / step) * step
        self.followed.look_again(replace(look, due=due))

    async def _close(
        self, experiment_id: str, run_id: str, status: RunStatus, end_time: datetime, tags: Mapping[str, str]
    ) -> bool:
        try:
            # Before the state: a run whose state is written counts as closed.
            await self.set_tags(run_id, tags)
        except answers.MLflowRefusedError as error:
            if closing.is_gone(error):
                return False
            raise
        return await closing.close_tree(self.client, self.lineage, experiment_id, run_id, status, end_time)

    async def upload(self, run: TrackedRun, path: str, content: bytes) -> None:
        """Store an artifact of the run at `path`."""
        experiment_id = run.experiment_id or await self.locator.experiment_of(run.run_id)
        if not experiment_id:
            raise RefusedError(f"MLflow run {run.run_id} is gone, so {path} cannot be stored", status=404)
        uri = await self._experiments.artifact_uri(experiment_id, run.run_id)
        await self.client.upload(uri, path, content)

    def follow(self, run_id: str, key: Key) -> None:
        """Poll the run from now on; `key` is enqueued when something changed. Idempotent."""
        self.followed.add(run_id, key)
        self.on_work()

    def unfollow(self, run_id: str) -> None:
        """Stop polling the run. Idempotent."""
        self.followed.discard(run_id)

    def seen(self, run_id: str) -> TrackedRun | None:
        """The poller's latest view of a followed run."""
        return self.followed.view(run_id)
