"""What is: small frozen views of the API server's objects, and all of them together as `Observed`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from runwright.names import ANNOTATION_STOP, FETCH_CONTAINER, LABEL_ATTEMPT, TRAINER_CONTAINER
from runwright.ports import Json, Metric, TrackedRun, TrackingServer

NODE_LOSS_REASONS = frozenset(
    {
        "Evicted",
        "Preempting",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "UnexpectedAdmissionError",
    }
)
"""``pod.status.reason`` of pods that the node or scheduler ended (kubelet's eviction, preemption and shutdown
managers). OutOf<resource> (a lost race for the node) is matched by prefix."""


def parse_time(text: str | None) -> datetime | None:
    """Read an RFC 3339 timestamp of the API server (always UTC)."""
    return datetime.fromisoformat(text) if text else None


def _number(labels: Json, label: str) -> int:
    """Read a label that ours or the Job controller's numbers; whoever edits it by hand gets 0, not a crash."""
    text = labels.get(label, "")
    return int(text) if text.isdecimal() else 0


def _condition(obj: Json, kind: str) -> Json | None:
    conditions: Iterable[Json] = obj.get("status", {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job of a run: one attempt."""

    name: str
    uid: str
    attempt: int
    controller_uid: str
    created: datetime
    ended: datetime | None
    """When it became Complete or Failed; since Kubernetes 1.31 that is after its last pod ended."""
    result: Literal["Complete", "Failed"] | None
    reason: str
    message: str
    deleting: bool
    suspended: bool = False
    """A queue (Kueue) holds it back, or has taken its nodes away."""
    doomed: bool = False
    """A pod's end has met a rule of the podFailurePolicy: it can only fail. While suspended it does not even do that
    (seen on a 1.36 server)."""

    @classmethod
    def of(cls, job: Json) -> Self:
        """View a Job as the API server sent it."""
        meta = job["metadata"]
        complete, failed = _condition(job, "Complete"), _condition(job, "Failed")
        final = complete or failed
        owner = next((ref["uid"] for ref in meta.get("ownerReferences", ()) if ref.get("controller")), "")
        created = parse_time(meta["creationTimestamp"])
        assert created is not None  # noqa: S101  # the API server sets it on every stored object
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            attempt=_number(meta.get("labels", {}), LABEL_ATTEMPT),
            controller_uid=owner,
            created=created,
            ended=parse_time(final.get("lastTransitionTime")) if final else None,
            result="Complete" if complete else "Failed" if failed else None,
            reason=final.get("reason", "") if final else "",
            message=final.get("message", "") if final else "",
            deleting="deletionTimestamp" in meta,
            suspended=job.get("spec", {}).get("suspend", False),
            doomed=_condition(job, "FailureTarget") is not None,
        )


@dataclass(frozen=True, slots=True)
class SetupView:
    """What the init container that fetches code and data says."""

    exit_code: int | None
    reason: str
    message: str
    """Its termination message."""
    finished: datetime | None


NO_SETUP = SetupView(None, "", "", None)


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a run: one node of one attempt, with what its ``trainer`` container says."""

    name: str
    uid: str
    attempt: int
    index: int
    node: str
    phase: str
    reason: str
    message: str
    deleting: bool
    disrupted: str
    """Message of a true ``DisruptionTarget`` condition; ``""`` when there is none."""
    unschedulable: str
    """The scheduler's message while the pod finds no node; ``""`` otherwise."""
    waiting_reason: str
    waiting_message: str
    started: datetime | None
    finished: datetime | None
    exit_code: int | None
    exit_reason: str
    exit_message: str
    image_id: str
    disrupted_at: datetime | None = None
    """Since when it has had that condition."""
    delete_by: datetime | None = None
    """When its grace period is over; None while nobody has deleted it."""
    unschedulable_since: datetime | None = None
    scheduled: datetime | None = None
    """When it got its node."""
    stop_raised: bool = False
    """Its stop file was raised."""
    setup: SetupView = NO_SETUP
    job: str = ""
    """uid of its Job."""

    @property
    def over(self) -> bool:
        """True when all its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def lost_to_node(self) -> bool:
        """True when the node or the scheduler ended it, not its own code."""
        return bool(self.disrupted) or self.reason in NODE_LOSS_REASONS or self.reason.startswith("OutOf")

    @classmethod
    def of(cls, pod: Json) -> Self:
        """View a pod as the API server sent it."""
        meta, status = pod["metadata"], pod.get("status", {})
        labels = meta.get("labels", {})
        trainer = _container(status, TRAINER_CONTAINER)
        state: Json = trainer.get("state", {})
        waiting: Json = state.get("waiting", {})
        ended: Json = state.get("terminated", {})
        begun = ended or state.get("running", {})
        disrupted = _condition(pod, "DisruptionTarget")
        placed: Json = next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {})
        unscheduled = placed.get("status") == "False" and placed.get("reason") == "Unschedulable"
        since = parse_time(placed.get("lastTransitionTime"))
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            attempt=_number(labels, LABEL_ATTEMPT),
            index=_number(labels, "batch.kubernetes.io/job-completion-index"),
            node=pod.get("spec", {}).get("nodeName", ""),
            phase=status.get("phase", "Pending"),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            deleting="deletionTimestamp" in meta,
            disrupted=(disrupted.get("message") or disrupted.get("reason", "")) if disrupted else "",
            unschedulable=placed.get("message", "") if unscheduled else "",
            waiting_reason=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            started=parse_time(begun.get("startedAt")),
            finished=parse_time(ended.get("finishedAt")),
            exit_code=ended.get("exitCode"),
            exit_reason=ended.get("reason", ""),
            exit_message=ended.get("message", ""),
            image_id=trainer.get("imageID", ""),
            disrupted_at=parse_time(disrupted.get("lastTransitionTime")) if disrupted else None,
            delete_by=parse_time(meta.get("deletionTimestamp")),
            unschedulable_since=since if unscheduled else None,
            scheduled=since if placed.get("status") == "True" else None,
            stop_raised=ANNOTATION_STOP in (meta.get("annotations") or {}),
            job=next((ref["uid"] for ref in meta.get("ownerReferences", ()) if ref.get("controller")), ""),
            setup=_setup(_container(status, FETCH_CONTAINER)),
        )


def _container(status: Json, name: str) -> Json:
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return next((c for c in containers if c["name"] == name), {})


def _setup(container: Json) -> SetupView:
    ended: Json = container.get("state", {}).get("terminated", {})
    if not ended:
        return NO_SETUP
    return SetupView(
        ended.get("exitCode"), ended.get("reason", ""), ended.get("message", ""), parse_time(ended.get("finishedAt"))
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the run waits for: a condition reason and a sentence with the remedy."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a decision may look at; gathered by `observe.py`, never changed."""

    jobs: Mapping[int, JobView]
    """The run's own Jobs by attempt."""
    pods: tuple[PodView, ...]
    """The run's pods of all attempts."""
    server: TrackingServer | None = None
    """The tracking server; None with tracking off or with a `server_problem`."""
    server_problem: Problem | None = None
    """Why there is no tracking server for this run yet."""
    tracked: TrackedRun | None = None
    """The MLflow run as the poller last saw it."""
    tracker_problem: str = ""
    """Why the tracking server is away at the moment; ``""`` while it answers."""
    created_before: bool = True
    """Whether an earlier try may already have made the MLflow run (False only right after the mark was written by
    this very process): search before creating."""
    source: Json | None = None
    """The ConfigMap with the code: the user's, or this run's own copy of it once that is made."""
    source_problem: Problem | None = None
    publish_in: float = 0.0
    """Seconds until metrics may be written to the status again; zero or less: now."""
    recorded: TrackedRun | None = None
    """A FINISHED MLflow run of this name and spec, where ``rerunPolicy`` asks for one."""
    recorded_problem: str = ""
    """Why the tracking server could not be asked for it."""
    queue_message: str = ""
    """What the queue says about the suspended Job."""
    last_line: datetime | None = None
    """When the first node printed its last log line, where inactivity is suspected; None: not known."""
    curve: Sequence[Metric] = ()
    """All points of the metric that early stopping watches, where there is news; else empty."""

    def pods_of(self, attempt: int) -> tuple[PodView, ...]:
        """Pods of one attempt, by node index; not those of a Job that somebody deleted and that was made again."""
        job = self.jobs.get(attempt)
        own = (p for p in self.pods if p.attempt == attempt and (job is None or p.job in ("", job.uid)))
        return tuple(sorted(own, key=lambda p: (p.index, p.name)))

    @property
    def remaining(self) -> tuple[PodView, ...]:
        """Pods that may still run code of this run.

        A finished Job's pods have ended, whatever an older pod event says.
        """
        return tuple(
            p for p in self.pods if not p.over and not ((job := self.jobs.get(p.attempt)) and job.result is not None)
        )
