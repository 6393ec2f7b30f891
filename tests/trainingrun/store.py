"""A model of the API server, in virtual time, with faults: the base of the model world (`world`).

It exists for exhaustive search: every mutating call of a run's whole life is crashed, lost and delayed in turn, which
takes thousands of lives and an exact clock. It keeps the semantics that the operator relies on (409 on a taken name,
resource versions, uid preconditions, ownership, selectors of watches, late events) and nothing else. It is no
substitute for the real API server and node: tests/contract and tests/e2e run the same code there.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeVar

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    ConflictError,
    RefusedError,
    RunwrightError,
    TrackerUnavailableError,
)
from runwright.kube.watched import keeps
from runwright.ports import Json, Key, Kind
from tests.trainingrun.mlflow_model import MLflowModel

T = TypeVar("T")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)

Fault = Literal["crash-before", "crash-after", "lost-before", "lost-after", "pause"]
"""What happens to a mutating call: the operator dies before it is sent or after it took effect; the request or its
answer is lost; the caller is paused before it is sent."""


def _copy(obj: Json) -> dict[str, Any]:
    """Copy as deep as anything is ever changed; stored objects themselves never are."""
    return {**obj, "metadata": dict(obj["metadata"])}


class CrashError(BaseException):
    """The operator's process ends here."""


class Watcher(Protocol):
    """An operator process, as the API server sees it."""

    def notice(self, kind: Kind, event_type: str, obj: Json) -> None:
        """Take in a watch event."""


@dataclass
class Store:
    """Objects, time, and what happens to the operator's calls."""

    faults: dict[int, Fault] = field(default_factory=dict)
    """By number of the mutating call, from 1."""
    refuse: Callable[[Kind, Json], str] = lambda _kind, _obj: ""
    """Why the API server refuses a create (quota, policy); "" takes it."""
    grace: float = 1.0
    """Seconds that a pod takes to end after SIGTERM."""

    def __post_init__(self) -> None:
        self.seconds = 0.0
        self.objects: dict[tuple[Kind, Key], dict[str, Any]] = {}
        self.mlflow = MLflowModel()
        self.watchers: list[Watcher] = []
        self.calls: list[str] = []
        """Every mutating call of operators, in order; what `faults` numbers."""
        self.reads: list[str] = []
        self.phases: list[str] = []
        """Every phase a status write told, in order."""
        self.events: list[str] = []
        self.told: list[tuple[str, str]] = []
        """(Reason, message) of every Event."""
        self.paused: Callable[[], Any] | None = None
        self._counter, self._order = itertools.count(1), itertools.count()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []

    # ------------------------------------------------------------------------------------------------ time

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._timers, (self.seconds + seconds, next(self._order), what))

    def next_timer(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def fire(self) -> bool:
        """Run one timer that is due."""
        if not self._timers or self._timers[0][0] > self.seconds:
            return False
        heapq.heappop(self._timers)[2]()
        return True

    # ------------------------------------------------------------------------------------------------ faults

    async def mutate(self, label: str, commit: Callable[[], T]) -> T:
        """Carry out a mutating call of the operator, unless its number has a fault."""
        self.calls.append(label)
        fault = self.faults.get(len(self.calls))
        away: RunwrightError = (
            TrackerUnavailableError("MLflow does not answer: cannot connect")
            if label.startswith("mlflow")
            else ClusterUnavailableError("no answer")
        )
        if fault == "crash-before":
            raise CrashError
        if fault == "lost-before":
            raise away
        if fault == "pause" and self.paused is not None:
            await self.paused()
        result = commit()
        if fault == "crash-after":
            raise CrashError
        if fault == "lost-after":
            raise away
        return result

    # ------------------------------------------------------------------------------------------------ API server

    def all(self, kind: Kind) -> list[dict[str, Any]]:
        return [obj for (k, _), obj in self.objects.items() if k is kind]

    def create(self, kind: Kind, obj: Json) -> Json:
        new = _copy(obj)
        meta = new["metadata"]
        key = Key(meta["namespace"], meta["name"])
        if (kind, key) in self.objects:
            raise AlreadyExistsError(f"{kind.kind} {key} exists")
        if why := self.refuse(kind, obj):
            raise RefusedError(why, status=403)
        meta |= {"uid": f"{next(self._counter):08x}-uid", "creationTimestamp": self.stamp, "generation": 1}
        self.admit(kind, new)
        self._store(kind, key, new, "ADDED")
        return new

    def admit(self, kind: Kind, new: dict[str, Any]) -> None:
        """What admission does to a new object, and who takes it up."""

    def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        """Merge annotations: all that is ever patched here."""
        if (kind, key) not in self.objects:
            raise RefusedError(f"{kind.kind} {key} not found", status=404)
        added = change["metadata"]["annotations"]

        def annotate(new: dict[str, Any]) -> None:
            new["metadata"]["annotations"] = {**new["metadata"].get("annotations", {}), **added}

        self.update(kind, key, annotate)
        return self.objects[kind, key]

    def apply_status(self, kind: Kind, obj: Json) -> Json:
        meta = obj["metadata"]
        key = Key(meta["namespace"], meta["name"])
        stored = self.objects.get((kind, key))
        if stored is None or stored["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise ConflictError(f"{kind.kind} {key} changed")
        if stored.get("status") != obj["status"]:
            self.update(kind, key, lambda new: new.update(status=obj["status"]))
            if kind is Kind.TRAINING_RUN:
                TrainingRunStatus.from_dict(obj["status"])
                self.phases.append(obj["status"]["phase"])
        return self.objects[kind, key]

    def delete(self, kind: Kind, key: Key, uid: str = "") -> Json | None:
        """Delete in the background: a pod ends first, anything else is gone at once."""
        stored = self.objects.get((kind, key))
        if stored is None or (uid and stored["metadata"]["uid"] != uid):
            return None
        if kind is Kind.POD and stored["status"]["phase"] not in ("Succeeded", "Failed"):
            if "deletionTimestamp" not in stored["metadata"]:
                self.update(kind, key, lambda new: new["metadata"].update(deletionTimestamp=self.stamp))
                pod_uid = stored["metadata"]["uid"]
                self.after(self.grace, lambda: self.terminate(key, pod_uid))
            return self.objects[kind, key]
        del self.objects[kind, key]
        gone = _copy(stored)
        gone["metadata"]["resourceVersion"] = str(next(self._counter))
        if keeps(kind, stored):
            self._emit(kind, "DELETED", gone)
        return None

    def terminate(self, key: Key, uid: str) -> None:
        """End a pod's containers after SIGTERM."""

    def update(self, kind: Kind, key: Key, change: Callable[[dict[str, Any]], Any]) -> None:
        new = _copy(self.objects[kind, key])
        change(new)
        self._store(kind, key, new, "MODIFIED")

    def _store(self, kind: Kind, key: Key, new: dict[str, Any], event_type: str) -> None:
        old = self.objects.get((kind, key))
        new["metadata"]["resourceVersion"] = str(next(self._counter))
        self.objects[kind, key] = new
        if keeps(kind, new):
            self._emit(kind, event_type, new)
        elif old is not None and keeps(kind, old):
            # It leaves a filtered watch: DELETED, with the previous state under the new version.
            left = _copy(old)
            left["metadata"]["resourceVersion"] = new["metadata"]["resourceVersion"]
            self._emit(kind, "DELETED", left)

    def _emit(self, kind: Kind, event_type: str, obj: Json) -> None:
        for watcher in self.watchers:
            watcher.notice(kind, event_type, obj)
