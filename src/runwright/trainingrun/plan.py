"""The vocabulary of decisions: actions to carry out in order, and the verdict that the status tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from runwright.ports import Json, Kind, NewRun, RunStatus, TrackedRun
from runwright.trainingrun.observed import PodView, Problem

# ---------------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Make the MLflow run, or find the one an interrupted try has made."""

    new: NewRun
    search_first: bool


@dataclass(frozen=True, slots=True)
class Create:
    """POST a Job, Service or ConfigMap once; a 409 is settled by whose the name is."""

    kind: Kind
    manifest: Json


@dataclass(frozen=True, slots=True)
class LogParams:
    """Log the manifest's parameters to the MLflow run."""

    run_id: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetTags:
    """Bring changed tags to the MLflow run."""

    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Follow:
    """Have the poller follow the MLflow run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ReadLogTail:
    """Read the last lines of the pod that failed, for ``status.failure``."""

    pod: str


@dataclass(frozen=True, slots=True)
class UploadLogs:
    """Store the logs of these pods as artifacts of the MLflow run; what fails is tried again at closing."""

    run_id: str
    pods: tuple[PodView, ...]


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Job and its pods (SIGTERM, then their grace period)."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CloseRun:
    """Store what is left to store, read the last metrics, and write the terminal MLflow state."""

    run_id: str
    status: RunStatus
    end_time: datetime
    tags: Mapping[str, str]
    artifacts: Mapping[str, bytes]
    params: Mapping[str, str]
    """Parameters to log before; empty when they are known to be there."""
    history_of: str = ""
    """Metric whose whole history decides the best value; ``""`` for none."""


@dataclass(frozen=True, slots=True)
class RaiseStop:
    """Raise the stop file in these pods."""

    pods: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete the TrainingRun itself, whose time to live is over."""

    uid: str


Action = (
    CreateRun
    | Create
    | LogParams
    | SetTags
    | Follow
    | ReadLogTail
    | UploadLogs
    | DeleteJob
    | RaiseStop
    | DeleteRun
    | CloseRun
)

# ---------------------------------------------------------------------------------------------------- verdicts


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended."""

    outcome: Literal["Succeeded", "Failure", "Disruption", "Suspended", "Stopped"]
    """Only failures and disruptions count against a budget."""
    reason: str
    message: str
    at: datetime
    pod: PodView | None = None
    """The first pod that failed, not those ended because of it."""
    exit_code: int | None = None
    final: bool = False
    """Another attempt would end the same way (another content than the checksum says)."""
    tail: str = ""
    """Last lines of its log, where the launcher told them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing runs yet and nothing can: says for what."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Marked:
    """The mark 'MLflow run being created' goes into the status before the request goes out."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt's number goes into the status before its pods exist."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Live:
    """The attempt's Job exists; its pods tell whether it starts or runs."""

    remark: Problem | None = None
    """What is to be said of a run whose pods run."""


@dataclass(frozen=True, slots=True)
class Restarting:
    """The attempt ended and another follows."""

    ended: Ended
    next_at: datetime


@dataclass(frozen=True, slots=True)
class BackingOff:
    """Between two attempts: the clock or the old pods are not through yet."""

    problem: Problem | None = None
    """What keeps the old pods from going; None leaves what was told."""


@dataclass(frozen=True, slots=True)
class Suspending:
    """The run is suspended from now on; its Job goes once the status says so."""

    ended: Ended | None
    """How its attempt ended, when one was there."""
    next_at: datetime | None
    """From when on another attempt may begin; None before the first."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The run is suspended."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run is not suspended any more."""


@dataclass(frozen=True, slots=True)
class Preempted:
    """A queue has taken the nodes of a running attempt away, and may give it others."""

    ended: Ended


@dataclass(frozen=True, slots=True)
class Queued:
    """A queue holds the attempt's Job back."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Stopping:
    """The run is to end: goes into the status before anything is done about it."""

    mode: Literal["Finish", "Cancel"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Somebody has trained this already."""

    run: TrackedRun


@dataclass(frozen=True, slots=True)
class HandsOff:
    """The run is another controller's."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over, for good."""

    result: Literal["Succeeded", "Failed", "Cancelled"]
    reason: str
    message: str
    ended: Ended | None = None
    """How its last attempt ended, when one was running until now."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The run was over before; only its records are being brought up to date."""


Verdict = (
    Waiting
    | Marked
    | Begun
    | Live
    | Queued
    | Preempted
    | Restarting
    | BackingOff
    | Suspending
    | Paused
    | Resumed
    | Stopping
    | Recorded
    | Finished
    | Settled
    | HandsOff
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what it means, and when to look again."""

    verdict: Verdict
    actions: tuple[Action, ...] = ()
    again: bool = False
    """Reconcile once more at once: the next step waits only for this one's status."""
    requeue_after: float | None = None
    """Seconds until a clock of this run is due; None when only events can change anything."""


# ---------------------------------------------------------------------------------------------------- outcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the actions brought: facts for the status."""

    run: TrackedRun | None = None
    """The MLflow run as made, found or last read."""
    tracker_problem: str = ""
    """Why a call to the tracker failed."""
    tracker_refusal: str = ""
    """What the tracker refused for good (a deleted experiment, a host it does not allow)."""
    conflict: Problem | None = None
    refused: Problem | None = None
    """The API server's refusal of a child object (quota, policy): reason and message."""
    log_tail: str = ""
    adopted: bool = False
    """A Job that was there already was taken for this run's: what it says was not observed yet."""
    closed: bool = False
    best: tuple[float, int] | None = None
    """Best value of the objective over its whole history, and its step."""
