# ruff: noqa: ARG002 -- the Protocols name arguments that a model has no use for
"""One operator process over the model world: the real reconciler, cache and inbox; a work queue in virtual time."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from runwright.errors import ClusterUnavailableError, ConflictError, RunwrightError, TrackerUnavailableError
from runwright.kube.cache import Cache, version_of
from runwright.kube.watched import WATCHED, keeps
from runwright.names import TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_REASON
from runwright.operator.inbox import Inbox
from runwright.ports import (
    EventNote,
    Json,
    Key,
    Kind,
    Metric,
    NewRun,
    RunStatus,
    TrackedRun,
    TrackingServer,
)
from runwright.trainingrun.options import Options
from runwright.trainingrun.reconcile import TrainingRunReconciler
from tests.trainingrun.world import World

T = TypeVar("T")
STACK = Key("runwright-tracking", "default")
OPTIONS = Options(cluster_uid="cluster", default_stack=STACK)
AWAY = "MLflow at http://mlflow does not answer: cannot connect"
POLL_SECONDS = 2.0


@dataclass
class Queue:
    """Keys by the time they are due; earlier wins."""

    world: World
    due: dict[Key, float] = field(default_factory=dict)

    def add(self, key: Key, seconds: float = 0.0) -> None:
        when = self.world.seconds + seconds
        self.due[key] = min(when, self.due.get(key, when))


class ModelCluster:
    """`ports.Cluster` over the world, with the caching rules of `kube.cluster.KubeCluster`."""

    def __init__(self, world: World, cache: Cache, leads: Callable[[], None]) -> None:
        self._world, self._cache, self._fence = world, cache, leads

    def cached(self, kind: Kind, key: Key) -> Json | None:
        return self._cache.get(kind, key)

    def owned(self, kind: Kind, run_uid: str) -> Sequence[Json]:
        return self._cache.owned(kind, run_uid)

    async def get(self, kind: Kind, key: Key) -> Json | None:
        before = self._cache.get(kind, key) if kind in WATCHED else None
        found = self._world.objects.get((kind, key))
        if found is None:
            if before is not None:
                self._cache.gone(kind, key, version_of(before))
            return None
        self._learn(kind, found)
        return found

    async def create(self, kind: Kind, obj: Json) -> Json:
        name = f"create {kind.kind} {obj['metadata']['name']}"
        answer = await self._write(name, lambda: self._world.create(kind, obj))
        self._learn(kind, answer)
        return answer

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        answer = await self._write(f"delete {kind.kind} {key.name}", lambda: self._world.delete(kind, key, uid))
        if answer is not None:
            self._learn(kind, answer)

    async def apply_status(self, kind: Kind, obj: Json) -> Json:
        key = Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
        name = f"status {key} {obj['status'].get('phase', '')}"
        try:
            answer = await self._write(name, lambda: self._world.apply_status(kind, obj))
        except ConflictError:
            await self.get(kind, key)
            raise
        self._learn(kind, answer)
        return answer

    async def _write(self, label: str, commit: Callable[[], T]) -> T:
        def checked() -> T:
            self._fence()
            return commit()

        return await self._world.mutate(label, checked)

    async def select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[Json]:
        return [
            obj
            for obj in self._world.all(kind)
            if obj["metadata"]["namespace"] == namespace and labels.items() <= obj["metadata"]["labels"].items()
        ]

    async def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        answer = await self._write(f"patch {kind.kind} {key.name}", lambda: self._world.patch(kind, key, change))
        self._learn(kind, answer)
        return answer

    async def last_log_time(self, key: Key) -> datetime | None:
        return self._world.printed.get(key.name)

    async def pod_log(self, key: Key, *, tail_lines: int | None = None, limit_bytes: int | None = None) -> str:
        return "epoch 1\nepoch 2\n" if (Kind.POD, key) in self._world.objects else ""

    async def post_event(self, kind: Kind, obj: Json, note: EventNote) -> None:
        self._world.events.append(note.reason)
        self._world.told.append((note.reason, note.message))

    def _learn(self, kind: Kind, obj: Json) -> None:
        if kind in WATCHED:
            self._cache.seen(kind, obj)


class ModelTracker:
    """`ports.Tracker` over the world's MLflow, with a poller."""

    def __init__(self, world: World, process: "Process") -> None:
        self._world, self._process = world, process
        self._followed: dict[str, Key] = {}
        self._views: dict[str, TrackedRun] = {}
        self._polling = False
        self.problem = ""

    async def ping(self) -> None:
        self._reach()

    async def create_run(self, new: NewRun, *, search_first: bool) -> TrackedRun:
        if search_first:
            self._reach()
            if (found := self._world.mlflow.search(new.uid)) is not None:
                return found
        return await self._call("create", lambda: self._world.mlflow.create(new))

    async def find_recorded(self, experiment: str, tags: Mapping[str, str]) -> TrackedRun | None:
        self._reach()
        return self._world.mlflow.recorded(tags)

    async def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        await self._call("params", lambda: self._world.mlflow.log_params(run_id, dict(params)))

    async def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        await self._call("tags", lambda: self._world.mlflow.set_tags(run_id, dict(tags)))

    async def refresh(self, run_id: str) -> TrackedRun | None:
        self._world.reads.append("refresh")
        self._reach()
        stored = self._world.mlflow.runs.get(run_id)
        return stored.run if stored else None

    async def metric_history(self, run: TrackedRun, metric: str) -> Sequence[Metric]:
        self._reach()
        return [p for p in self._world.mlflow.runs[run.run_id].history if p.name == metric]

    async def close_run(self, run_id: str, status: RunStatus, end_time: datetime, *, tags: Mapping[str, str]) -> None:
        def commit() -> None:
            if run_id in self._world.mlflow.runs:
                self._world.mlflow.set_tags(run_id, dict(tags))
                self._world.mlflow.change(run_id, status=status)

        await self._call("close", commit)
        self.unfollow(run_id)

    async def upload(self, run: TrackedRun, path: str, content: bytes) -> None:
        await self._call("upload", lambda: self._world.mlflow.store(run.run_id, path, content))

    def follow(self, run_id: str, key: Key) -> None:
        self._followed[run_id] = key
        self._poll_later()

    def unfollow(self, run_id: str) -> None:
        self._followed.pop(run_id, None)
        self._views.pop(run_id, None)

    def seen(self, run_id: str) -> TrackedRun | None:
        return self._views.get(run_id)

    def watch_return(self) -> None:
        """Note that the server is away, and probe until it answers."""
        if not self.problem:
            self.problem = AWAY
            self._changed()
        self._poll_later()

    def _reach(self) -> None:
        if self._world.mlflow.away:
            self.watch_return()
            raise TrackerUnavailableError(AWAY)

    async def _call(self, name: str, commit: Callable[[], T]) -> T:
        self._reach()
        return await self._world.mutate(f"mlflow {name}", commit)

    def _poll_later(self) -> None:
        if not self._polling:
            self._polling = True
            self._world.after(POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        self._polling = False
        if not self._process.alive:
            return
        if self._world.mlflow.away:
            self.watch_return()
            return
        if self.problem:
            self.problem = ""
            self._changed()
            self._process.sweep_later()
        for run_id, key in list(self._followed.items()):
            stored = self._world.mlflow.runs.get(run_id)
            before = self._views.get(run_id)
            now = stored.run if stored else replace(before, deleted=True) if before else None
            if now is not None and repr(now) != repr(before):
                self._views[run_id] = now
                self._process.queue.add(key)
        if self._followed:
            self._poll_later()

    def _changed(self) -> None:
        for key in self._followed.values():
            self._process.queue.add(key)


class Process:
    """An operator from start to crash. A fresh one knows only what the API server and MLflow hold."""

    def __init__(
        self, world: World, *, options: Options = OPTIONS, lag: Mapping[Kind, float] | None = None, fenced: bool = True
    ) -> None:
        self.world, self.alive, self.leads, self.fenced = world, True, True, fenced
        self.queue = Queue(world)
        self.options = options
        self._lag = lag or {}
        self._inflight: list[tuple[float, int, Kind, str, Json]] = []
        self._numbers = itertools.count()
        self._sweeping = False
        self.passes = 0
        cache = Cache()
        self.cluster = ModelCluster(world, cache, self._fence)
        self.tracker = ModelTracker(world, self)
        self.reconciler = TrainingRunReconciler(
            cluster=self.cluster, trackers=self._tracker, options=options, clock=lambda: world.now
        )
        queues: Any = {Kind.TRAINING_RUN: self.queue, Kind.TRACKING_STACK: Queue(world)}
        self._inbox = Inbox(cache, queues, self._departed)
        self._start()

    def _start(self) -> None:
        for kind in WATCHED:
            for obj in self.world.all(kind):
                if keeps(kind, obj):
                    self._inbox.event(kind, None, obj)
        self.world.watchers.append(self)
        self.sweep_later()

    def _tracker(self, _server: TrackingServer) -> ModelTracker:
        return self.tracker

    def _fence(self) -> None:
        if self.fenced and not self.leads:
            raise ClusterUnavailableError("this operator does not hold the Lease any more; it writes nothing")

    def _departed(self, body: Json) -> None:
        self.reconciler.departed(body)
        self.sweep_later()

    # Events arrive in order within a kind, each kind as late as its lag says.

    def notice(self, kind: Kind, event_type: str, obj: Json) -> None:
        if kind not in WATCHED:
            return
        due = self.world.seconds + self._lag.get(kind, 0.0)
        self._inflight.append((due, next(self._numbers), kind, event_type, obj))
        self.world.after(self._lag.get(kind, 0.0), lambda: None)

    def deliver(self) -> bool:
        ready = [e for e in self._inflight if e[0] <= self.world.seconds]
        self._inflight = [e for e in self._inflight if e[0] > self.world.seconds]
        for _, _, kind, event_type, obj in ready:
            self._inbox.event(kind, event_type, obj)
        return bool(ready)

    async def work(self) -> bool:
        """Reconcile one key that is due; whether there was one."""
        key = next((k for k, due in self.queue.due.items() if due <= self.world.seconds), None)
        if key is None:
            return False
        del self.queue.due[key]
        if key == SWEEP:
            await self.sweep()
            return True
        try:
            self.passes += 1
            seconds = await self.reconciler.reconcile(key)
        except RunwrightError:
            seconds = 1.0
        if seconds is not None:
            self.queue.add(key, seconds)
        return True

    def next_due(self) -> float | None:
        return min(self.queue.due.values(), default=None)

    # The sweeper, with the rules of `tracking.sweeper`.

    def sweep_later(self, seconds: float = 0.2) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.world.after(seconds, lambda: self.queue.add(SWEEP))

    async def sweep(self) -> None:
        self._sweeping = False
        mlflow = self.world.mlflow
        if mlflow.away or not self.options.tracking:
            if self.options.tracking:
                self.tracker.watch_return()
            return
        for run_id in [r for r, s in mlflow.runs.items() if s.run.status == "RUNNING"]:
            run = mlflow.runs[run_id].run
            if run.tags.get(TAG_CLUSTER) != self.options.cluster_uid:
                continue
            verdict = await self.reconciler.resolve_orphan(run)
            if verdict == "reconcile":
                self.queue.add(Key(run.tags[TAG_NAMESPACE], run.tags[TAG_NAME]))
            elif verdict == "wait":
                self.sweep_later(10.0)
            elif verdict != "leave":
                tags = {TAG_REASON: "Orphaned"} if TAG_REASON not in run.tags else {}
                try:
                    await self.tracker.close_run(run_id, verdict, self.world.now, tags=tags)
                except TrackerUnavailableError:
                    self.sweep_later(5.0)


SWEEP = Key("", "")
"""Stands for a sweep in the queue."""
