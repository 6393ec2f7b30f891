"""From events to keys: each event updates the cache and enqueues the owner's key."""

from collections.abc import Callable, Mapping
from typing import Final

from runwright.kube.cache import Cache, Difference, key_of, version_of
from runwright.names import LABEL_RUN
from runwright.operator.queue import WorkQueue
from runwright.ports import Json, Key, Kind

OWNERS: Final[Mapping[Kind, Kind]] = {
    Kind.TRAINING_RUN: Kind.TRAINING_RUN,
    Kind.JOB: Kind.TRAINING_RUN,
    Kind.POD: Kind.TRAINING_RUN,
    Kind.TRACKING_STACK: Kind.TRACKING_STACK,
}
"""Whose queue an event of a kind belongs to."""


class Inbox:
    """Takes in watch events and what re-lists find.

    Args:
        cache: Updated first.
        queues: By the kind of their keys.
        departed: Called with a TrainingRun that is gone from the watch (deleted or finished), before its key is
            enqueued.
        stacks: Called when a TrackingStack came, changed or went.
        record: Told of each watch event: kind, type.
    """

    def __init__(
        self,
        cache: Cache,
        queues: Mapping[Kind, WorkQueue],
        departed: Callable[[Json], None],
        stacks: Callable[[], None] = lambda: None,
        record: Callable[[Kind, str | None], None] = lambda *_: None,
    ) -> None:
        self._cache = cache
        cache.replaced = self._replaced
        self._queues = queues
        self._departed = departed
        self._stacks = stacks
        self._record = record

    def event(self, kind: Kind, event_type: str | None, obj: Json) -> None:
        """Take in one watch event; what is not news, as the echo of our own write, changes nothing."""
        self._record(kind, event_type)
        if event_type == "DELETED":
            if self._cache.gone(kind, key_of(obj), version_of(obj)):
                self._depart(kind, obj)
        elif self._cache.seen(kind, obj):
            self._enqueue(kind, obj)

    def found(self, kind: Kind, difference: Difference) -> None:
        """Take in what a re-list found."""
        for obj in difference.changed:
            self._enqueue(kind, obj)
        for obj in difference.vanished:
            self._depart(kind, obj)

    def learned(self, kind: Kind, obj: Json) -> None:
        """Take in what a live read brought that the cache now holds."""
        self._enqueue(kind, obj)

    def stack_changed(self) -> None:
        """Wake the runs that have no MLflow run yet: they may have waited for the stack that just changed.

        What we wrote ourselves comes as no event.
        """
        self._stacks()
        for run in self._cache.all(Kind.TRAINING_RUN):
            if not (run.get("status") or {}).get("tracking", {}).get("runId"):
                self._queues[Kind.TRAINING_RUN].add(key_of(run))

    def _replaced(self, kind: Kind, old: Json) -> None:
        """An object gave its name to another, and its DELETED event was lost."""
        if kind is Kind.TRAINING_RUN:
            self._departed(old)

    def _depart(self, kind: Kind, obj: Json) -> None:
        if kind is Kind.TRAINING_RUN:
            self._departed(obj)
        self._enqueue(kind, obj)

    def _enqueue(self, kind: Kind, obj: Json) -> None:
        owner = OWNERS[kind]
        if owner is kind:
            self._queues[owner].add(key_of(obj))
            if kind is Kind.TRACKING_STACK:
                self._stacks()
        elif name := (obj["metadata"].get("labels") or {}).get(LABEL_RUN):
            self._queues[owner].add(Key(obj["metadata"]["namespace"], name))
