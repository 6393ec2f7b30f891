"""What the poller follows and what it has seen; pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from runwright.ports import Key, RunStatus, TrackedRun
from runwright.tracking.convert import signature

SECOND_LOOK_SECONDS: Final = 5.0
"""From closing a run to checking it: a dying script's ``end_run()`` travels longer than its process lives."""
LOOKS: Final = 3
"""Times that a changed state is written again before we let it be."""


@dataclass(frozen=True, slots=True)
class Look:
    """A closed run whose state is to be checked once more."""

    run_id: str
    status: RunStatus
    end_time: datetime
    due: float = 0.0
    left: int = LOOKS


class Followed:
    """Runs by id, with their TrainingRun and the latest view; and the second looks that are pending."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._views: dict[str, TrackedRun] = {}
        self._signatures: dict[str, tuple[object, ...]] = {}
        self._looks: dict[str, Look] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> frozenset[Key]:
        """The TrainingRuns of all followed runs."""
        return frozenset(self._keys.values())

    @property
    def run_ids(self) -> frozenset[str]:
        """All followed runs."""
        return frozenset(self._keys)

    @property
    def looks(self) -> Sequence[Look]:
        """All second looks that are pending."""
        return tuple(self._looks.values())

    @property
    def next_look(self) -> float | None:
        """When the next second look is due."""
        return min((look.due for look in self._looks.values()), default=None)

    def add(self, run_id: str, key: Key) -> None:
        """Follow a run; idempotent."""
        self._keys[run_id] = key
        self._looks.pop(run_id, None)  # it is active again, so its state may change

    def discard(self, run_id: str) -> None:
        """Follow it no more; idempotent."""
        self._keys.pop(run_id, None)
        self._views.pop(run_id, None)
        self._signatures.pop(run_id, None)

    def view(self, run_id: str) -> TrackedRun | None:
        """The latest view of a followed run."""
        return self._views.get(run_id)

    def record(self, run: TrackedRun) -> bool:
        """Keep the view of a followed run; whether anything changed."""
        if run.run_id not in self._keys:
            return False
        new = signature(run)
        changed = self._signatures.get(run.run_id) != new
        self._views[run.run_id], self._signatures[run.run_id] = run, new
        return changed

    def record_all(self, asked: Collection[str], answer: Mapping[str, TrackedRun]) -> frozenset[Key]:
        """Keep the views of one poll; the TrainingRuns to be enqueued.

        A run that was seen and is missing from the answer has left the database: its view turns deleted.
        """
        changed: set[Key] = set()
        for run_id in asked:
            run = answer.get(run_id)
            if run is None and run_id in self._views:
                run = replace(self._views[run_id], deleted=True)
            if run is not None and self.record(run):
                changed.add(self._keys[run_id])
        return frozenset(changed)

    def look_again(self, look: Look) -> None:
        """Plan a second look."""
        self._looks[look.run_id] = look

    def due_looks(self, now: float) -> list[Look]:
        """The looks to take now."""
        return [look for look in self._looks.values() if look.due <= now]

    def looked(self, look: Look) -> None:
        """The look was taken; one that was planned anew meanwhile stays."""
        if self._looks.get(look.run_id) == look:
            del self._looks[look.run_id]
