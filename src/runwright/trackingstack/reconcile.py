"""observe -> decide -> status -> act of a TrackingStack, until nothing more can be done now.

The status comes before the deed: it tells what was seen, helm takes seconds, and its fence keeps an operator that
works on an old cache from acting. What an action comes to is seen in the next round, which follows at once.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus
from runwright.errors import ConflictError, RefusedError
from runwright.ports import EventNote, Json, Key, Kind, Releases, StackCluster, Trackers
from runwright.stored import parse, status_patch
from runwright.trackingstack.act import Hands, act
from runwright.trackingstack.decide import LOOK_AGAIN, ON_ITS_WAY, decide
from runwright.trackingstack.memory import Memory, StackMemory
from runwright.trackingstack.notes import notes
from runwright.trackingstack.observe import Eyes, observe
from runwright.trackingstack.observed import Observed
from runwright.trackingstack.options import Options
from runwright.trackingstack.plan import GrowClaim, Install, Plan
from runwright.trackingstack.policies.rights import is_terminating
from runwright.trackingstack.status import next_status

log = logging.getLogger(__name__)

MOST_ROUNDS: Final = 8
"""Rounds of one pass; the first installation takes three, so more is a plan that goes in circles."""


class TrackingStackReconciler:
    """Brings TrackingStacks, one key at a time, nearer to what they want.

    Args:
        cluster: The API server.
        releases: Helm.
        trackers: The tracking servers.
        options: The administrator's settings.
        clock: The time.
        changed: Called when a stack's status was written: runs may wait for it.
    """

    def __init__(
        self,
        *,
        cluster: StackCluster,
        releases: Releases,
        trackers: Trackers,
        options: Options,
        clock: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._releases = releases
        self._eyes = Eyes(cluster, releases, trackers, options)
        self._options = options
        self._clock = clock
        self._changed = changed
        self._memory = Memory()

    async def reconcile(self, key: Key) -> float | None:
        """Do all that can be done now for one stack.

        Returns:
            Seconds until it should be looked at again; None when it is gone or going: Kubernetes removes what it owns.

        Raises:
            TransientError, ConflictError: try again.
            InvalidObjectError: the stored object does not parse.
        """
        body = self._cluster.cached(Kind.TRACKING_STACK, key)
        for _ in range(MOST_ROUNDS):
            if body is None or "deletionTimestamp" in body["metadata"]:
                self._memory.forget(key)
                return None
            try:
                body, again = await self._round(parse(TrackingStack, body), body)
            except RefusedError as error:
                if not is_terminating(error):
                    raise
                log.info("Namespace %s is being deleted; nothing is made there any more", key.namespace)
                return LOOK_AGAIN
            if again is not None:
                return again
        return ON_ITS_WAY

    async def _round(self, stack: TrackingStack, body: Json) -> tuple[Json | None, float | None]:
        """One round; without a number of seconds another should follow at once."""
        now, memory = self._clock(), self._memory.of(_key(stack), stack.metadata.uid)
        seen = await observe(stack, self._eyes, memory, now)
        plan = decide(stack, seen, now)
        seen = _forgotten(seen, plan, memory, now)
        body = await self._tell(stack, next_status(stack, seen, self._options, now), body)
        if not plan.actions:
            return body, plan.requeue_after
        present = await self._present(stack)
        if present is None:
            return None, None
        done = await act(plan.actions, stack, Hands(self._cluster, self._releases, memory), now)
        if done:
            for action in plan.actions:
                if isinstance(action, Install) and action.repairs:
                    text = f"{action.wanted.key.name}: {', '.join(action.repairs)} was missing or edited"
                    await self._cluster.post_event(Kind.TRACKING_STACK, present, EventNote("Normal", "Repaired", text))
        return self._cluster.cached(Kind.TRACKING_STACK, _key(stack)), None

    async def _tell(self, stack: TrackingStack, status: TrackingStackStatus, body: Json) -> Json:
        """Write the status if it differs."""
        if status == stack.status:
            return body
        body = await self._cluster.apply_status(Kind.TRACKING_STACK, status_patch(stack, status))
        self._changed()
        for note in notes(stack.status, status):
            await self._cluster.post_event(Kind.TRACKING_STACK, body, note)
        return body

    async def _present(self, stack: TrackingStack) -> Json | None:
        """Read the stack live before anything is made for it: its deletion may be news still to come.

        Raises:
            ConflictError: it has changed.
        """
        found = await self._cluster.get(Kind.TRACKING_STACK, _key(stack))
        if found is None or "deletionTimestamp" in found["metadata"]:
            return None
        meta = stack.metadata
        if found["metadata"]["uid"] != meta.uid or found["metadata"].get("generation", 0) != meta.generation:
            raise ConflictError(f"TrackingStack {_key(stack)} has changed")
        return found


def _key(stack: TrackingStack) -> Key:
    return Key(stack.metadata.namespace, stack.metadata.name)


def _forgotten(seen: Observed, plan: Plan, memory: StackMemory, now: datetime) -> Observed:
    """Drop a refusal of something that is not wanted any more."""
    tries = any(not isinstance(action, Install | GrowClaim) for action in plan.actions)
    if seen.failure is None or now < seen.failure.retry_at or tries:
        return seen
    memory.other = None
    return replace(seen, failure=None)
