# ruff: noqa: ARG002 -- the Protocols name arguments that a model has no use for
"""A model of the world around a stack: API server, helm, StatefulSet controller, kubelet, garbage collector and MLflow.

It exists for exhaustive search: every mutating call of a stack's life is crashed and lost in turn. It keeps the
semantics that the operator relies on (fences, immutable claim templates, volumes that only grow, who owns what) and
nothing else; tests/contract/trackingstack runs the same code against the real API server and helm.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from runwright.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    ConflictError,
    RefusedError,
    TrackerUnavailableError,
)
from runwright.ports import EventNote, Json, Key, Kind, Release, TrackingServer, WantedRelease
from runwright.trackingstack.options import Options
from runwright.trackingstack.quantity import quantity
from runwright.trackingstack.reconcile import TrackingStackReconciler

T = TypeVar("T")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
KEY: Final = Key("team-a", "a")
AWAY: Final = "MLflow does not answer: cannot connect"
Fault = Literal["crash-before", "crash-after", "lost-before", "lost-after"]
HELM_STEPS: Final = ("pending", "objects", "deployed")
"""Between any two of them helm may be killed."""


class CrashError(BaseException):
    """The operator's process ends here."""


@dataclass
class Record:
    """What helm remembers of a release."""

    wanted: WantedRelease
    revision: int
    state: str
    current: bool


@dataclass
class World:
    """All state outside the operator."""

    faults: dict[int, Fault] = field(default_factory=dict)
    """By number of the mutating call, from 1."""
    expandable: bool = True
    """Whether the storage class lets volumes grow."""
    broken_images: frozenset[str] = frozenset()
    """Tags that cannot be pulled."""
    refuse: Callable[[str], str] = lambda _call: ""
    """Why a mutating call is refused (403); "" lets it pass."""

    def __post_init__(self) -> None:
        self.now = START
        self.objects: dict[tuple[Kind, Key], dict[str, Any]] = {}
        self.records: dict[Key, Record] = {}
        self.calls: list[str] = []
        self.events: list[str] = []
        self.drifts: list[str] = []
        self.away = False
        self.dead = False
        """Whether the operator's process has crashed: what it was doing side by side ends as well."""
        self.asked: list[TrackingServer] = []
        self._numbers = itertools.count(1)

    # ------------------------------------------------------------------------------------------------ requests

    async def mutate(self, call: str, commit: Callable[[], T]) -> T:
        """Carry out a mutating call of the operator, unless its number has a fault."""
        if self.dead:
            raise CrashError
        self.calls.append(call)
        fault = self.faults.get(len(self.calls))
        self.dead = fault in ("crash-before", "crash-after")
        if fault == "crash-before":
            raise CrashError
        if fault == "lost-before":
            raise ClusterUnavailableError("no answer")
        if why := self.refuse(call):
            raise RefusedError(why, status=403)
        result = commit()
        if fault == "crash-after":
            raise CrashError
        if fault == "lost-after":
            raise ClusterUnavailableError("no answer")
        return result

    def put(self, kind: Kind, obj: Json) -> dict[str, Any]:
        """Create or replace, with what the API server adds."""
        new = deepcopy(dict(obj))
        meta = new["metadata"]
        key = Key(meta["namespace"], meta["name"])
        old = self.objects.get((kind, key))
        meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{next(self._numbers)}")
        meta["resourceVersion"] = str(next(self._numbers))
        if old is None:
            meta.setdefault("generation", 1)
        elif old.get("spec") != new.get("spec"):
            meta["generation"] = old["metadata"].get("generation", 0) + 1
        self.objects[kind, key] = new
        return new

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        """An object beside the stack."""
        return self.objects[kind, Key(KEY.namespace, name)]

    def change(self, kind: Kind, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change an object as somebody else would."""
        new = deepcopy(self.get(kind, name))
        change(new)
        self.put(kind, new)

    def apply(self, spec: Json) -> None:
        """Apply the stack's manifest."""
        old = self.objects.get((Kind.TRACKING_STACK, KEY))
        meta = {"name": KEY.name, "namespace": KEY.namespace} if old is None else old["metadata"]
        obj = {"metadata": dict(meta), "spec": spec}
        self.put(Kind.TRACKING_STACK, obj if old is None else {**obj, "status": old.get("status", {})})

    def remove(self, kind: Kind, name: str) -> None:
        """Delete an object, at once."""
        self.objects.pop((kind, Key(KEY.namespace, name)), None)

    @property
    def status(self) -> dict[str, Any]:
        """Of the stack."""
        return dict(self.objects[Kind.TRACKING_STACK, KEY].get("status", {}))

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = next((c for c in self.status.get("conditions", ()) if c["type"] == kind), None)
        return (found["status"], found["reason"]) if found else ("", "")

    def names(self, kind: Kind) -> set[str]:
        """Names of all objects of a kind."""
        return {key.name for k, key in self.objects if k is kind}

    # ------------------------------------------------------------------------------------------------ helm

    def make(self, wanted: WantedRelease) -> None:
        """What an installation leaves in the cluster."""
        kind = Kind.DEPLOYMENT if wanted.chart == "mlflow" else Kind.STATEFUL_SET
        old = self.objects.get((kind, wanted.key))
        values = wanted.values
        spec: dict[str, Any] = {"replicas": values.get("replicas", 1), "image": values.get("image", {}).get("tag", "")}
        spec["annotations"] = values["podAnnotations"]
        if kind is Kind.STATEFUL_SET:
            size = values["persistence"]["size"]
            if old is not None and old["spec"]["volumeClaimTemplates"] != _templates(size):
                raise RefusedError(f"helm upgrade: StatefulSet {wanted.key.name} is invalid: spec: Forbidden")
            spec |= {"volumeClaimTemplates": _templates(size), "whenDeleted": values["persistence"]["whenDeleted"]}
        meta: dict[str, Any] = dict(old["metadata"]) if old else {}
        meta |= {"name": wanted.key.name, "namespace": wanted.key.namespace, "ownerReferences": [dict(wanted.owner)]}
        if old is None or old["spec"] != spec:
            self.put(kind, {"metadata": meta, "spec": spec})
        config = {"name": wanted.key.name, "namespace": wanted.key.namespace, "ownerReferences": [dict(wanted.owner)]}
        if (Kind.CONFIG_MAP, wanted.key) not in self.objects:
            self.put(Kind.CONFIG_MAP, {"metadata": config})

    # ------------------------------------------------------------------------------------------------ controllers

    def settle(self) -> None:
        """Let the controllers, the kubelet and the garbage collector do one round each."""
        self._collect()
        for (kind, key), obj in list(self.objects.items()):
            if kind in (Kind.STATEFUL_SET, Kind.DEPLOYMENT):
                self._run(kind, key, obj)

    def _collect(self) -> None:
        alive = {obj["metadata"]["uid"] for obj in self.objects.values()}
        for place, obj in list(self.objects.items()):
            owners = obj["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in alive for owner in owners):
                del self.objects[place]
        owned = {key: record.wanted.owner["uid"] for key, record in self.records.items()}
        for key, uid in owned.items():
            if uid not in alive:
                del self.records[key]

    def _run(self, kind: Kind, key: Key, obj: dict[str, Any]) -> None:
        pod_key = Key(key.namespace, f"{key.name}-0")
        revision = f"{obj['spec']['image']}/{obj['spec']['annotations']}"
        pod = self.objects.get((Kind.POD, pod_key))
        if pod is not None and pod["metadata"]["labels"]["controller-revision-hash"] != revision:
            healthy = any(c["status"] == "True" for c in pod["status"]["conditions"])
            if healthy or kind is Kind.DEPLOYMENT:  # OrderedReady: a broken pod of an old revision is waited for
                del self.objects[Kind.POD, pod_key]
                pod = None
        if kind is Kind.STATEFUL_SET:
            self._claim(key, obj)
        if pod is None:
            labels = {"app.kubernetes.io/instance": key.name, "controller-revision-hash": revision}
            labels |= {"app.kubernetes.io/component": "server"} if kind is Kind.DEPLOYMENT else {}
            owner = {"kind": kind.kind, "uid": obj["metadata"]["uid"]}
            meta = {"name": pod_key.name, "namespace": key.namespace, "labels": labels, "ownerReferences": [owner]}
            status = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}
            if obj["spec"]["image"] in self.broken_images:
                waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}
                status["containerStatuses"] = [{"name": "server", "state": waiting}]
            pod = self.put(Kind.POD, {"metadata": meta, "status": status})
        else:
            pod["metadata"]["ownerReferences"] = [{"kind": kind.kind, "uid": obj["metadata"]["uid"]}]
            if "containerStatuses" not in pod["status"]:
                pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        ready = int(any(c["status"] == "True" for c in pod["status"]["conditions"]))
        updated = int(pod["metadata"]["labels"]["controller-revision-hash"] == revision)
        obj["status"] = {
            "observedGeneration": obj["metadata"]["generation"],
            "updatedReplicas": updated,
            "availableReplicas": ready,
            "updateRevision": revision,
        }

    def _claim(self, key: Key, obj: dict[str, Any]) -> None:
        claim_key = Key(key.namespace, f"data-{key.name}-0")
        claim = self.objects.get((Kind.VOLUME_CLAIM, claim_key))
        if claim is None:
            size = obj["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
            claim = self.put(
                Kind.VOLUME_CLAIM,
                {
                    "metadata": {"name": claim_key.name, "namespace": key.namespace},
                    "spec": {"storageClassName": "standard", "resources": {"requests": {"storage": size}}},
                    "status": {"phase": "Bound"},
                },
            )
        goes = obj["spec"]["whenDeleted"] == "Delete"
        owner = {"kind": "StatefulSet", "uid": obj["metadata"]["uid"]}
        claim["metadata"]["ownerReferences"] = [owner] if goes else []

    def answers(self) -> bool:
        """Whether MLflow and what it needs run."""
        pods = [obj for (kind, _), obj in self.objects.items() if kind is Kind.POD]
        ready = [p for p in pods if any(c["status"] == "True" for c in p["status"]["conditions"])]
        return len(ready) == len(pods) == len(self.records) and not self.away


def _templates(size: str) -> list[Any]:
    return [{"spec": {"resources": {"requests": {"storage": size}}}}]


@dataclass
class ModelCluster:
    """`ports.StackCluster` over the world."""

    world: World

    def cached(self, kind: Kind, key: Key) -> Json | None:
        return deepcopy(self.world.objects.get((kind, key)))

    def owned(self, kind: Kind, run_uid: str) -> Sequence[Json]:
        raise AssertionError("a stack owns nothing that is watched")

    async def get(self, kind: Kind, key: Key) -> Json | None:
        return deepcopy(self.world.objects.get((kind, key)))

    async def select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[Json]:
        found = [o for (k, key), o in self.world.objects.items() if k is kind and key.namespace == namespace]
        return deepcopy([o for o in found if labels.items() <= o["metadata"].get("labels", {}).items()])

    async def create(self, kind: Kind, obj: Json) -> Json:
        def commit() -> Json:
            if (kind, Key(obj["metadata"]["namespace"], obj["metadata"]["name"])) in self.world.objects:
                raise AlreadyExistsError("taken")
            return self.world.put(kind, obj)

        return await self.world.mutate(f"create {kind.kind} {obj['metadata']['name']}", commit)

    async def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        def commit() -> Json:
            found = deepcopy(self.world.objects[kind, key])
            for fence in ("uid", "resourceVersion"):
                if change["metadata"].get(fence, found["metadata"][fence]) != found["metadata"][fence]:
                    raise ConflictError("changed")
            if kind is Kind.VOLUME_CLAIM:
                requests = found["spec"]["resources"]["requests"]
                wanted = change["spec"]["resources"]["requests"]["storage"]
                if not self.world.expandable:
                    raise RefusedError("persistentvolumeclaims is forbidden: the storageclass must support resize")
                assert quantity(wanted) > quantity(requests["storage"]), "a volume never shrinks"
                requests["storage"] = wanted
            else:
                found["metadata"]["ownerReferences"] = change["metadata"]["ownerReferences"]
            return self.world.put(kind, found)

        return await self.world.mutate(f"patch {kind.kind} {key.name}", commit)

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        await self.world.mutate(f"delete {kind.kind} {key.name}", lambda: self.world.objects.pop((kind, key), None))

    async def orphan(self, kind: Kind, key: Key, *, uid: str) -> None:
        def commit() -> None:
            gone = self.world.objects.pop((kind, key), None)
            for obj in self.world.objects.values():
                owners = obj["metadata"].get("ownerReferences")
                if gone is not None and owners:
                    obj["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != gone["metadata"]["uid"]]

        await self.world.mutate(f"orphan {kind.kind} {key.name}", commit)

    async def apply_status(self, kind: Kind, obj: Json) -> Json:
        key = Key(obj["metadata"]["namespace"], obj["metadata"]["name"])

        def commit() -> Json:
            found = self.world.objects.get((kind, key))
            if found is None or found["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                raise ConflictError("changed")
            return self.world.put(kind, {**found, "status": obj["status"]})

        return deepcopy(await self.world.mutate("status", commit))

    async def pod_log(self, key: Key, *, tail_lines: int | None = None, limit_bytes: int | None = None) -> str:
        raise AssertionError("nobody reads logs here")

    async def last_log_time(self, key: Key) -> datetime | None:
        raise AssertionError("nobody reads logs here")

    async def post_event(self, kind: Kind, obj: Json, note: EventNote) -> None:
        self.world.events.append(note.reason)


@dataclass
class ModelReleases:
    """`ports.Releases` over the world."""

    world: World

    async def find(self, wanted: WantedRelease) -> Release | None:
        record = self.world.records.get(wanted.key)
        if record is None:
            return None
        current = record.state == "deployed" and record.wanted == wanted
        return Release(wanted.chart, "0.1.0", "1", record.revision, record.state, "", current)

    async def install(self, wanted: WantedRelease) -> Release:
        before = self.world.records.get(wanted.key)
        revision = before.revision + 1 if before else 1

        def pending() -> None:
            self.world.records[wanted.key] = Record(wanted, revision, "pending-upgrade", current=False)

        def objects() -> None:
            try:
                self.world.make(wanted)
            except RefusedError:
                self.world.records[wanted.key].state = "failed"
                raise

        def deployed() -> None:
            self.world.records[wanted.key].state = "deployed"

        for step, commit in zip(HELM_STEPS, (pending, objects, deployed), strict=True):
            await self.world.mutate(f"helm {wanted.key.name} {step}", commit)
        found = await self.find(wanted)
        assert found is not None
        return found

    async def drift(self, wanted: WantedRelease) -> Sequence[str]:
        self.world.drifts.append(wanted.key.name)
        kind = Kind.DEPLOYMENT if wanted.chart == "mlflow" else Kind.STATEFUL_SET
        expected = ((kind, wanted.key), (Kind.CONFIG_MAP, wanted.key))
        return tuple(f"{k.kind} {key.name}" for k, key in expected if (k, key) not in self.world.objects)


@dataclass
class ModelTracker:
    """The one call of `ports.Tracker` that a stack makes."""

    world: World

    async def ping(self) -> None:
        if not self.world.answers():
            raise TrackerUnavailableError(AWAY)


class Process:
    """An operator from start to crash."""

    def __init__(self, world: World, options: Options) -> None:
        def tracker(server: TrackingServer) -> Any:
            world.asked.append(server)
            return ModelTracker(world)

        self.reconciler = TrackingStackReconciler(
            cluster=ModelCluster(world),
            releases=ModelReleases(world),
            trackers=tracker,
            options=options,
            clock=lambda: world.now,
        )


class Life:
    """Runs an operator in virtual time, again after each crash."""

    def __init__(self, world: World | None = None, options: Options | None = None) -> None:
        self.world = world or World()
        self.options = options or Options()
        self.process = Process(self.world, self.options)
        self.crashes = 0

    async def step(self) -> float | None:
        """One pass, then the time until the next."""
        seconds: float | None
        try:
            seconds = await self.process.reconciler.reconcile(KEY)
        except CrashError:
            self.crashes += 1
            self.world.dead = False
            self.process = Process(self.world, self.options)
            seconds = 1.0
        except (ClusterUnavailableError, ConflictError):
            seconds = 1.0
        self.world.settle()
        self.world.now += timedelta(seconds=seconds or 1.0)
        return seconds

    async def until_settled(self, most: int = 60) -> None:
        """Run until a pass finds nothing to do and nothing on its way."""
        for _ in range(most):
            calls = len(self.world.calls)
            seconds = await self.step()
            if seconds is not None and seconds >= 10.0 and len(self.world.calls) == calls:
                return
        raise AssertionError(f"not settled: {self.world.status}")
