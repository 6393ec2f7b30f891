"""A model of the world around the operator: API server, Job controller, kubelet and garbage collector, in virtual time.

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
from runwright.names import LABEL_ATTEMPT
from runwright.ports import Json, Key, Kind
from tests.trainingrun.mlflow_model import MLflowModel

T = TypeVar("T")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
INDEX: Final = "batch.kubernetes.io/job-completion-index"
CHILDREN: Final = (Kind.JOB, Kind.POD, Kind.SERVICE, Kind.CONFIG_MAP)

Fault = Literal["crash-before", "crash-after", "lost-before", "lost-after", "pause"]
"""What happens to a mutating call: the operator dies before it is sent or after it took effect; the request or its
answer is lost; the caller is paused before it is sent."""


def _copy(obj: Json) -> dict[str, Any]:
    """Copy as deep as anything is ever changed; stored objects themselves never are."""
    return {**obj, "metadata": dict(obj["metadata"])}


class CrashError(BaseException):
    """The operator's process ends here."""


@dataclass(frozen=True)
class Behavior:
    """What the pods of an attempt do."""

    seconds: float = 20.0
    exit_code: int = 0
    reason: str = ""
    """Container's termination reason; default Completed or Error."""
    disrupted: bool = False
    """The node is drained at the end instead of an exit."""
    stuck: Literal["", "Unschedulable", "Image"] = ""
    epochs: int = 2


class Watcher(Protocol):
    """An operator process, as the API server sees it."""

    def notice(self, kind: Kind, event_type: str, obj: Json) -> None:
        """Take in a watch event."""


@dataclass
class World:
    """All state outside the operator."""

    script: Callable[[int, int], Behavior] = lambda _attempt, _index: Behavior()
    """Behavior of a pod by attempt and node index."""
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
        self.started: list[tuple[str, float, float]] = []
        """(Job's uid, begin, end) of every container that ran; end is infinite while it does."""
        self.paused: Callable[[], Any] | None = None
        self._counter, self._order = itertools.count(1), itertools.count()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._made: set[str] = set()

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
        self._store(kind, key, new, "ADDED")
        if kind is Kind.JOB:
            self._made.add(meta["uid"])
        return new

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
                self.after(self.grace, lambda: self._end(key, pod_uid, 143))
            return self.objects[kind, key]
        del self.objects[kind, key]
        gone = _copy(stored)
        gone["metadata"]["resourceVersion"] = str(next(self._counter))
        if keeps(kind, stored):
            self._emit(kind, "DELETED", gone)
        return None

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

    # ------------------------------------------------------------------------------------------------ controllers

    def controllers(self) -> bool:
        """One round of Job controller and garbage collector; whether anything changed."""
        return any([self._collect(), *(self._job(job) for job in self.all(Kind.JOB))])

    def _collect(self) -> bool:
        alive = {obj["metadata"]["uid"] for obj in self.objects.values()}
        changed = False
        for (kind, key), obj in list(self.objects.items()):
            owners = obj["metadata"].get("ownerReferences", ())
            if kind not in CHILDREN or not owners or any(ref["uid"] in alive for ref in owners):
                continue
            if "deletionTimestamp" not in obj["metadata"]:
                self.delete(kind, key)
                changed = True
        return changed

    def _job(self, job: dict[str, Any]) -> bool:
        meta, uid = job["metadata"], job["metadata"]["uid"]
        key = Key(meta["namespace"], meta["name"])
        if uid in self._made:
            self._made.discard(uid)
            for index in range(job["spec"]["completions"]):
                self._pod(job, index)
            return True
        if job.get("status", {}).get("conditions"):
            return False
        pods = [p for p in self.all(Kind.POD) if p["metadata"]["ownerReferences"][0]["uid"] == uid]
        failed = [p for p in pods if p["status"]["phase"] == "Failed"]
        alive = [p for p in pods if p["status"]["phase"] not in ("Succeeded", "Failed")]
        if failed and alive:
            going = [p for p in alive if "deletionTimestamp" not in p["metadata"]]
            for pod in going:
                self.delete(Kind.POD, Key(meta["namespace"], pod["metadata"]["name"]))
            return bool(going)
        if alive:
            return False
        if pods and not failed:
            self._finish(key, "Complete", "CompletionsReached", "")
        elif failed:
            self._finish(key, "Failed", "PodFailurePolicy", self._cause(failed))
        else:
            self._finish(key, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        return True

    def _cause(self, failed: list[dict[str, Any]]) -> str:
        def ended(pod: dict[str, Any]) -> tuple[bool, str]:
            state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            return ("deletionTimestamp" in pod["metadata"], state["finishedAt"])

        first = min(failed, key=ended)
        name = f"{first['metadata']['namespace']}/{first['metadata']['name']}"
        if first["status"].get("conditions"):
            return f"Pod {name} has condition DisruptionTarget matching FailJob rule at index 0"
        code = first["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        return f"Container trainer for pod {name} failed with exit code {code} matching FailJob rule at index 1"

    def _finish(self, key: Key, kind: str, reason: str, message: str) -> None:
        told = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": self.stamp,
        }
        self.update(Kind.JOB, key, lambda new: new.update(status={"conditions": [told]}))

    # ------------------------------------------------------------------------------------------------ kubelet

    def _pod(self, job: dict[str, Any], index: int) -> None:
        meta, template = job["metadata"], job["spec"]["template"]
        name = f"{meta['name']}-{index}-x"
        while (Kind.POD, Key(meta["namespace"], name)) in self.objects:
            name += "x"
        behavior = self.script(int(meta["labels"][LABEL_ATTEMPT]), index)
        pod = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": {**template["metadata"]["labels"], INDEX: str(index)},
                "ownerReferences": [{"uid": meta["uid"], "controller": True}],
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        uid = self.create(Kind.POD, pod)["metadata"]["uid"]
        key = Key(meta["namespace"], name)
        match behavior.stuck:
            case "Unschedulable":
                told = {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient cpu.",
                }
                self.after(1, lambda: self._status(key, uid, {"phase": "Pending", "conditions": [told]}))
            case "Image":
                self.after(1, lambda: self._pull(key, uid, 0))
            case _:
                self.after(1, lambda: self._begin(key, uid, behavior))

    def _status(self, key: Key, uid: str, status: dict[str, Any]) -> bool:
        stored = self.objects.get((Kind.POD, key))
        if stored is None or stored["metadata"]["uid"] != uid or stored["status"]["phase"] in ("Succeeded", "Failed"):
            return False
        self.update(Kind.POD, key, lambda new: new.update(status=status))
        return True

    def _pull(self, key: Key, uid: str, tries: int) -> None:
        """Kubelet alternates between the two reasons, with another message each time."""
        reason = "ImagePullBackOff" if tries % 2 else "ErrImagePull"
        state = {"waiting": {"reason": reason, "message": f"try {tries}"}}
        status = {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": state}]}
        if self._status(key, uid, status) and tries < 5:
            self.after(5, lambda: self._pull(key, uid, tries + 1))

    def _begin(self, key: Key, uid: str, behavior: Behavior) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is None or "deletionTimestamp" in stored["metadata"]:
            return
        state = {"running": {"startedAt": self.stamp}}
        statuses = [{"name": "trainer", "state": state, "imageID": "image@sha256:0"}]
        if not self._status(key, uid, {"phase": "Running", "containerStatuses": statuses}):
            return
        self.started.append((stored["metadata"]["ownerReferences"][0]["uid"], self.seconds, float("inf")))
        run_id = self._run_id(stored) if stored["metadata"]["labels"][INDEX] == "0" else ""
        self.mlflow.start(run_id)
        for epoch in range(1, behavior.epochs + 1):
            when = behavior.seconds * epoch / (behavior.epochs + 1)
            self.after(when, lambda epoch=epoch: self._epoch(key, uid, run_id, epoch))  # type: ignore[misc]
        self.after(behavior.seconds, lambda: self._end(key, uid, behavior.exit_code, behavior))

    def _epoch(self, key: Key, uid: str, run_id: str, epoch: int) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is not None and stored["metadata"]["uid"] == uid and stored["status"]["phase"] == "Running":
            self.mlflow.log(run_id, {"epoch": float(epoch), "accuracy": 0.9 + epoch / 100}, epoch, self.now)

    def _end(self, key: Key, uid: str, exit_code: int, behavior: Behavior | None = None) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is None or stored["metadata"]["uid"] != uid:
            return
        phase = stored["status"]["phase"]
        if phase in ("Running", "Pending"):
            before = stored["status"].get("containerStatuses", [{}])[0].get("state", {}).get("running", {})
            disrupted = behavior is not None and behavior.disrupted
            code = 143 if disrupted else exit_code
            named = behavior.reason if behavior is not None else ""
            ended = {
                "exitCode": code,
                "reason": named or ("Error" if code else "Completed"),
                "startedAt": before.get("startedAt", self.stamp),
                "finishedAt": self.stamp,
            }
            status: dict[str, Any] = {
                "phase": "Failed" if code else "Succeeded",
                "containerStatuses": [{"name": "trainer", "state": {"terminated": ended}, "imageID": "image@sha256:0"}],
            }
            if disrupted:
                drained = {"type": "DisruptionTarget", "status": "True", "message": "the node is drained"}
                status["conditions"] = [drained]
            if phase == "Running":
                if stored["metadata"]["labels"][INDEX] == "0":
                    self.mlflow.end(self._run_id(stored), "FAILED" if code else "FINISHED")
                job = stored["metadata"]["ownerReferences"][0]["uid"]
                n = next(i for i, s in enumerate(self.started) if s[0] == job and s[2] == float("inf"))
                self.started[n] = (*self.started[n][:2], self.seconds)
            self._status(key, uid, status)
        if "deletionTimestamp" in stored["metadata"]:
            self.after(0.5, lambda: self._remove(key, uid))

    def _remove(self, key: Key, uid: str) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is not None and stored["metadata"]["uid"] == uid:
            self.delete(Kind.POD, key)

    @staticmethod
    def _run_id(pod: dict[str, Any]) -> str:
        env = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}
        return str(env.get("MLFLOW_RUN_ID", ""))
