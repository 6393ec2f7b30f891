"""The model world: Job controller, queue, scheduler, kubelet and garbage collector over the model of the API server.

`store` says what it is for and what it leaves out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from runwright.names import ANNOTATION_STOP, LABEL_ATTEMPT, LABEL_QUEUE
from runwright.ports import Json, Key, Kind
from tests.trainingrun.store import START, CrashError, Fault, Store, Watcher

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["START", "Behavior", "CrashError", "Fault", "Watcher", "World"]

INDEX: Final = "batch.kubernetes.io/job-completion-index"
CHILDREN: Final = (Kind.JOB, Kind.POD, Kind.SERVICE, Kind.CONFIG_MAP, Kind.VOLUME_CLAIM)
OVER: Final = ("Succeeded", "Failed")
TERMINATED: Final = 143


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
    lost: bool = False
    """At the end the node stops to answer instead: the pod is deleted and does not go."""
    obeys: bool = False
    """It ends with 0 three seconds after its stop file was raised."""
    sigterm_code: int = TERMINATED
    """Exit code after SIGTERM."""


@dataclass
class World(Store):
    """All state outside the operator."""

    script: Callable[[int, int], Behavior] = lambda _attempt, _index: Behavior()
    """Behavior of a pod by attempt and node index."""
    queue_open: bool = False
    """Whether the queue lets Jobs run."""
    places: int | None = None
    """Pods that have room at the same time; None: all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.started: list[tuple[str, float, float]] = []
        """(Job's uid, begin, end) of every container that ran; end is infinite while it does."""
        self.printed: dict[str, datetime] = {}
        """Time of the last log line by pod."""
        self.jobs_made: list[str] = []
        """Names of all Jobs there ever were."""
        self._to_start: set[str] = set()
        """Jobs whose pods are to be made."""
        self._suspended: set[str] = set()
        """Pods that ended because their Job was suspended: they are not counted."""
        self._lost: set[str] = set()
        """Pods on nodes that do not answer."""
        self._unplaced: list[tuple[Key, str, Behavior]] = []

    def admit(self, kind: Kind, new: dict[str, Any]) -> None:
        """Kueue suspends the Jobs that name a queue."""
        if kind is Kind.JOB:
            if LABEL_QUEUE in new["metadata"].get("labels", {}):
                new["spec"] = {**new["spec"], "suspend": not self.queue_open}
            self._to_start.add(new["metadata"]["uid"])
            self.jobs_made.append(new["metadata"]["name"])

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
        conditions = {c["type"]: c for c in job.get("status", {}).get("conditions", ()) if c["status"] == "True"}
        if conditions.keys() & {"Complete", "Failed"}:
            return False
        pods = [p for p in self.all(Kind.POD) if p["metadata"]["ownerReferences"][0]["uid"] == uid]
        alive = [p for p in pods if p["status"]["phase"] not in OVER]
        if job["spec"].get("suspend"):
            return self._hold(key, pods, conditions)
        if "FailureTarget" in conditions:
            self._condition(
                key, "Failed", conditions["FailureTarget"]["reason"], conditions["FailureTarget"]["message"]
            )
            return True
        if uid in self._to_start:
            if alive:
                return False
            self._to_start.discard(uid)
            for index in range(job["spec"]["completions"]):
                self._pod(job, index)
            return True
        return self._judge(job, [p for p in pods if p["metadata"]["uid"] not in self._suspended])

    def _judge(self, job: dict[str, Any], pods: list[dict[str, Any]]) -> bool:
        """A Job that is not suspended: one failed pod ends the others, and the last one's end is the Job's."""
        key = Key(job["metadata"]["namespace"], job["metadata"]["name"])
        failed = [p for p in pods if p["status"]["phase"] == "Failed"]
        alive = [p for p in pods if p["status"]["phase"] not in OVER]
        if failed and alive:
            going = [p for p in alive if "deletionTimestamp" not in p["metadata"]]
            for pod in going:
                self.delete(Kind.POD, Key(key.namespace, pod["metadata"]["name"]))
            return bool(going)
        if alive:
            return False
        if pods and not failed:
            self._condition(key, "Complete", "CompletionsReached", "")
        else:
            self._condition(key, "Failed", *self._cause(job, failed))
        return True

    def _hold(self, key: Key, pods: list[dict[str, Any]], conditions: dict[str, Any]) -> bool:
        """A suspended Job: its pods end, and make it fail later if a FailJob rule has something against it."""
        job = self.objects[Kind.JOB, key]
        alive = [p for p in pods if p["status"]["phase"] not in OVER]
        going = [p for p in alive if "deletionTimestamp" not in p["metadata"]]
        self._suspended |= {p["metadata"]["uid"] for p in alive}
        for pod in going:
            self.delete(Kind.POD, Key(key.namespace, pod["metadata"]["name"]))
        if pods and job["metadata"]["uid"] not in self._to_start:
            self._to_start.add(job["metadata"]["uid"])
        failed = [p for p in pods if p["status"]["phase"] == "Failed"]
        told = [self._cause(job, [pod]) for pod in failed]
        bad = next((cause for cause in told if cause[0] == "PodFailurePolicy"), None)
        if bad is not None and "FailureTarget" not in conditions:
            self._condition(key, "FailureTarget", *bad)
            return True
        return bool(going)

    def _cause(self, job: dict[str, Any], failed: list[dict[str, Any]]) -> tuple[str, str]:
        """Reason and message of a Job that failed, by its podFailurePolicy."""

        def ended(pod: dict[str, Any]) -> tuple[bool, str]:
            return ("deletionTimestamp" in pod["metadata"], _ended(pod).get("finishedAt", ""))

        over_limit = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if not failed:
            return over_limit
        first = min(failed, key=ended)
        name = f"{first['metadata']['namespace']}/{first['metadata']['name']}"
        code = _ended(first).get("exitCode")
        for number, rule in enumerate(job["spec"]["podFailurePolicy"]["rules"]):
            said = f"matching FailJob rule at index {number}"
            if "onPodConditions" in rule:
                if any(c["type"] == "DisruptionTarget" for c in first["status"].get("conditions", ())):
                    return "PodFailurePolicy", f"Pod {name} has condition DisruptionTarget {said}"
                continue
            if code is None:
                continue
            listed = code in rule["onExitCodes"]["values"]
            if listed != (rule["onExitCodes"]["operator"] == "In"):
                continue
            if rule["action"] == "Count":
                return over_limit
            return "PodFailurePolicy", f"Container trainer for pod {name} failed with exit code {code} {said}"
        return over_limit

    def _condition(self, key: Key, kind: str, reason: str, message: str) -> None:
        told = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": self.stamp,
        }
        before = self.objects[Kind.JOB, key].get("status", {}).get("conditions", [])
        self.update(Kind.JOB, key, lambda new: new.update(status={"conditions": [*before, told]}))

    # ------------------------------------------------------------------------------------------------ queue

    def suspend(self, *, suspended: bool) -> None:
        """The queue takes all unfinished Jobs that name one off their nodes, or gives them some."""
        self.queue_open = not suspended
        for job in self.all(Kind.JOB):
            over = any(c["type"] in ("Complete", "Failed") for c in job.get("status", {}).get("conditions", ()))
            if LABEL_QUEUE in job["metadata"].get("labels", {}) and not over:
                key = Key(job["metadata"]["namespace"], job["metadata"]["name"])
                spec = {**job["spec"], "suspend": suspended}
                self.update(Kind.JOB, key, lambda new, spec=spec: new.update(spec=spec))  # type: ignore[misc]

    # ------------------------------------------------------------------------------------------------ scheduler

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
                self.after(1, lambda: self._wait_for_a_place(key, uid))
            case "Image":
                self.after(1, lambda: self._pull(key, uid, 0))
            case _:
                self.after(1, lambda: self._place(key, uid, behavior))

    def _wait_for_a_place(self, key: Key, uid: str) -> None:
        told = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
            "lastTransitionTime": self.stamp,
        }
        self._status(key, uid, {"phase": "Pending", "conditions": [told]})

    def _place(self, key: Key, uid: str, behavior: Behavior) -> None:
        """Find a place for a pod, or have it wait for one."""
        stored = self.objects.get((Kind.POD, key))
        if stored is None or stored["metadata"]["uid"] != uid or "deletionTimestamp" in stored["metadata"]:
            return
        if stored["status"]["phase"] in OVER:
            return
        if self.places is None:
            self._begin(key, uid, behavior)
            return
        taken = [p for p in self.all(Kind.POD) if p["spec"].get("nodeName") and p["status"]["phase"] not in OVER]
        if len(taken) >= self.places:
            if (key, uid, behavior) not in self._unplaced:
                self._unplaced.append((key, uid, behavior))
                self._wait_for_a_place(key, uid)
            return
        self._unplaced = [waiting for waiting in self._unplaced if waiting[1] != uid]
        told = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.stamp}
        spec = {**stored["spec"], "nodeName": "n1"}
        self.update(Kind.POD, key, lambda new: new.update(spec=spec, status={"phase": "Pending", "conditions": [told]}))
        self.after(0.5, lambda: self._begin(key, uid, behavior))

    def place_now(self, key: Key) -> None:
        """Have the scheduler look at one pod that waits."""
        for waiting, uid, behavior in list(self._unplaced):
            if waiting == key:
                self._place(key, uid, behavior)

    def make_room(self, places: int) -> None:
        """Add nodes for so many pods."""
        self.places = places
        self._place_others()

    def _place_others(self) -> None:
        for key, uid, behavior in list(self._unplaced):
            self._place(key, uid, behavior)

    # ------------------------------------------------------------------------------------------------ kubelet

    def _status(self, key: Key, uid: str, status: dict[str, Any]) -> bool:
        stored = self.objects.get((Kind.POD, key))
        if stored is None or stored["metadata"]["uid"] != uid or stored["status"]["phase"] in OVER:
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
        self.printed[key.name] = self.now
        run_id = self._run_id(stored) if stored["metadata"]["labels"][INDEX] == "0" else ""
        self.mlflow.start(run_id)
        for epoch in range(1, behavior.epochs + 1):
            when = behavior.seconds * epoch / (behavior.epochs + 1)
            self.after(when, lambda epoch=epoch: self._epoch(key, uid, run_id, epoch))  # type: ignore[misc]
        if behavior.lost:
            self.after(behavior.seconds, lambda: self._lose(key, uid))
        else:
            self.after(behavior.seconds, lambda: self._end(key, uid, behavior.exit_code, behavior))

    def _epoch(self, key: Key, uid: str, run_id: str, epoch: int) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is not None and stored["metadata"]["uid"] == uid and stored["status"]["phase"] == "Running":
            self.printed[key.name] = self.now
            self.mlflow.log(run_id, {"epoch": float(epoch), "accuracy": 0.9 + epoch / 100}, epoch, self.now)

    def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        """Annotate a pod; its code sees the stop file a little later."""
        answer = super().patch(kind, key, change)
        index, attempt = (answer["metadata"]["labels"][name] for name in (INDEX, LABEL_ATTEMPT))
        uid, behavior = answer["metadata"]["uid"], self.script(int(attempt), int(index))
        if ANNOTATION_STOP in change["metadata"]["annotations"] and behavior.obeys:
            self.after(3, lambda: self._obey(key, uid, behavior))
        return answer

    def _obey(self, key: Key, uid: str, behavior: Behavior) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is not None and stored["status"]["phase"] == "Running":
            self._end(key, uid, 0, behavior)

    def _lose(self, key: Key, uid: str) -> None:
        """The node stops to answer; the node controller deletes its pod."""
        stored = self.objects.get((Kind.POD, key))
        if stored is not None and stored["metadata"]["uid"] == uid:
            self._lost.add(uid)
            self.update(Kind.POD, key, lambda new: new.update(spec={**new["spec"], "nodeName": "n1"}))
            self.delete(Kind.POD, key)

    def remove_lost_nodes(self) -> None:
        """An administrator removes the nodes; the pod collector lets go of their pods."""
        for uid in list(self._lost):
            self._lost.discard(uid)
            for pod in self.all(Kind.POD):
                if pod["metadata"]["uid"] == uid:
                    key = Key(pod["metadata"]["namespace"], pod["metadata"]["name"])
                    self._end(key, uid, TERMINATED, Behavior(disrupted=True))

    def terminate(self, key: Key, uid: str) -> None:
        """End a pod's containers after SIGTERM."""
        stored = self.objects.get((Kind.POD, key))
        if uid in self._lost or stored is None:
            return
        index, attempt = (stored["metadata"]["labels"][name] for name in (INDEX, LABEL_ATTEMPT))
        self._end(key, uid, self.script(int(attempt), int(index)).sigterm_code)

    def _end(self, key: Key, uid: str, exit_code: int, behavior: Behavior | None = None) -> None:
        stored = self.objects.get((Kind.POD, key))
        if stored is None or stored["metadata"]["uid"] != uid or uid in self._lost:
            return
        phase = stored["status"]["phase"]
        if phase in ("Running", "Pending"):
            before = stored["status"].get("containerStatuses", [{}])[0].get("state", {}).get("running", {})
            disrupted = behavior is not None and behavior.disrupted
            code = TERMINATED if disrupted else exit_code
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
            if phase == "Pending":
                status = {"phase": "Failed"}  # none of its containers has ever begun
            if disrupted:
                drained = {"type": "DisruptionTarget", "status": "True", "message": "the node is drained"}
                status["conditions"] = [{**drained, "lastTransitionTime": self.stamp}]
            if phase == "Running":
                if stored["metadata"]["labels"][INDEX] == "0":
                    self.mlflow.end(self._run_id(stored), "FAILED" if code else "FINISHED")
                job = stored["metadata"]["ownerReferences"][0]["uid"]
                n = next(i for i, s in enumerate(self.started) if s[0] == job and s[2] == float("inf"))
                self.started[n] = (*self.started[n][:2], self.seconds)
            self._status(key, uid, status)
            self.after(0.1, self._place_others)
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


def _ended(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0].get("state", {}).get("terminated", {})
    return found
