"""observe -> decide -> act -> status, until nothing more can be done now."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrainingRun, TrainingRunStatus
from runwright.errors import ConflictError
from runwright.names import TAG_NAME, TAG_NAMESPACE, TAG_UID
from runwright.ports import Cluster, Json, Key, Kind, OrphanVerdict, TrackedRun, Trackers
from runwright.stored import parse, status_patch
from runwright.trainingrun import orphans, records
from runwright.trainingrun.act import Hands, act
from runwright.trainingrun.case import Case
from runwright.trainingrun.decide import decide
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.notes import notes
from runwright.trainingrun.observe import observe
from runwright.trainingrun.observed import JobView
from runwright.trainingrun.options import Options
from runwright.trainingrun.plan import Create, Marked, Plan
from runwright.trainingrun.status import Step, next_status
from runwright.trainingrun.suspicions import judged

log = logging.getLogger(__name__)

MOST_STEPS: Final = 10
"""Steps of one pass; a run takes five at most, so more is a plan that goes in circles."""
TRACKER_RETRY: Final = 5.0
"""Seconds between tries of a call that a run waits for while its tracker is away."""
STUCK_RETRY: Final = 30.0
"""Seconds between tries of what the API server refused."""


class TrainingRunReconciler:
    """Brings TrainingRuns, one key at a time, nearer to what they want."""

    def __init__(
        self, *, cluster: Cluster, trackers: Trackers, options: Options, clock: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._trackers = trackers
        self._options = options
        self._clock = clock
        self._memory = Memory()

    async def reconcile(self, key: Key) -> float | None:
        """Do all that can be done now for one TrainingRun, present or gone.

        Returns:
            Seconds until a clock of the run is due; None when only an event can change anything.

        Raises:
            TransientError, ConflictError: try again.
            InvalidObjectError: the stored object does not parse.
        """
        left = orphans.departed(key, self._memory)
        body = self._cluster.cached(Kind.TRAINING_RUN, key) if not left else None
        body = body or await self._cluster.get(Kind.TRAINING_RUN, key)
        farewell = await orphans.close_departed(
            left,
            body,
            self._cluster,
            self._trackers,
            self._memory,
            options=self._options,
            now=self._clock(),
        )
        if body is None or "deletionTimestamp" in body["metadata"]:
            return farewell
        again: float | None = 0.0
        for _ in range(MOST_STEPS):
            body, again = await self._step(body)
            if again != 0.0:
                break
        waits = [left for left in (again, farewell) if left is not None]
        return min(waits, default=None)

    async def _step(self, body: Json) -> tuple[Json, float | None]:
        """One round; the second value is 0 when another should follow at once."""
        run, now = parse(TrainingRun, body), self._clock()
        seen = await observe(run, self._cluster, self._trackers, self._memory, self._options, now)
        plan = decide(run, seen, self._options, now)
        await self._still_there(run, plan)
        tracker = self._trackers(seen.server) if seen.server is not None else None
        outcome = await act(plan, run, Hands(self._cluster, tracker, self._memory))
        step = Step(run, seen, plan, outcome, self._options, now)
        status = next_status(step)
        uid = run.metadata.uid
        if status != run.status:
            body = await self._cluster.apply_status(Kind.TRAINING_RUN, status_patch(run, status))
            if status.metrics != run.status.metrics:
                self._memory.published[uid] = now
            for note in notes(run.status, status):
                await self._cluster.post_event(Kind.TRAINING_RUN, body, note)
        if seen.curve and (point := judged(Case(run, run.status, seen, self._options, now))) is not None:
            self._memory.judged[uid] = point
        if isinstance(plan.verdict, Marked):
            self._memory.fresh_marks.add(uid)
        if status.phase is not None and status.phase.terminal:
            self._memory.posted.pop(uid, None)
        if _to_be_closed(status):
            self._memory.departed[uid] = body  # no event would tell of its deletion
        return body, self._next_look(step, status)

    async def _still_there(self, run: TrainingRun, plan: Plan) -> None:
        """Make no Job for a run that is gone: where ours vanished, its owner's deletion may be news still to come.

        Raises:
            ConflictError: the run is deleted; what the cache holds now says so.
        """
        meta, attempt = run.metadata, run.status.attempt
        if not any(isinstance(action, Create) and action.kind is Kind.JOB for action in plan.actions):
            return
        if self._memory.posted.get(meta.uid) == attempt:
            key = Key(meta.namespace, meta.name)
            found = await self._cluster.get(Kind.TRAINING_RUN, key)
            if found is None or found["metadata"]["uid"] != meta.uid or "deletionTimestamp" in found["metadata"]:
                raise ConflictError(f"TrainingRun {key} is deleted; its Job went with it")
        self._memory.posted[meta.uid] = attempt

    def _next_look(self, step: Step, status: TrainingRunStatus) -> float | None:
        """Seconds until the next round: 0 for at once, None for when an event comes."""
        plan, outcome = step.plan, step.outcome
        waits = not status.attempt or (_to_be_closed(status) and not (plan.again and step.seen.remaining))
        if waits and outcome.tracker_problem:
            return TRACKER_RETRY
        if (waits and outcome.tracker_refusal) or outcome.conflict is not None or outcome.refused is not None:
            return STUCK_RETRY
        if outcome.adopted:
            # What was read at adoption comes as no news from the watch. A Job without our labels is in no cache.
            jobs = self._cluster.owned(Kind.JOB, step.run.metadata.uid)
            return 0.0 if step.run.status.attempt in {JobView.of(job).attempt for job in jobs} else STUCK_RETRY
        return 0.0 if plan.again else plan.requeue_after

    def departed(self, body: Json) -> None:
        """Note that a TrainingRun was deleted, or left the watch by finishing: the next pass finds out which."""
        self._memory.departed[body["metadata"]["uid"]] = body

    async def resolve_orphan(self, tracked: TrackedRun) -> OrphanVerdict:
        """Say what an MLflow run of this cluster is that is RUNNING, or has RUNNING runs below it.

        The TrainingRun is read live: the sweeper must never act on an old cache.
        """
        key = Key(tracked.tags.get(TAG_NAMESPACE, ""), tracked.tags.get(TAG_NAME, ""))
        uid = tracked.tags.get(TAG_UID, "")
        before = self._cluster.cached(Kind.TRAINING_RUN, key)
        body = await self._cluster.get(Kind.TRAINING_RUN, key)
        if body is not None and body["metadata"]["uid"] == uid:
            news = before is None or before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]
            return orphans.judge(
                tracked, parse(TrainingRun, body).status, news=news, busy=orphans.pods_remain(uid, self._cluster)
            )
        if orphans.pods_remain(uid, self._cluster):
            return "wait"
        return tracked.status if tracked.status != "RUNNING" else "KILLED"


def _to_be_closed(status: TrainingRunStatus) -> bool:
    """Whether the run is over and its MLflow run not closed yet."""
    ended = status.phase is not None and status.phase.terminal
    return ended and status.tracking is not None and not records.closed(status)
