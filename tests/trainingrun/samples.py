"""Small values for tests of the pure core."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runwright.apis.v1alpha1 import Condition, TrainingRun
from runwright.ports import Key, Metric, TrackedRun, TrackingServer
from runwright.trainingrun.observed import JobView, Observed, PodView
from runwright.trainingrun.options import Options

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "0a1b2c3d-0000-4000-8000-000000000000"
SERVER = TrackingServer("http://mlflow:5000", "https://mlflow.example")
OPTIONS = Options(cluster_uid="cluster", default_stack=Key("runwright-tracking", "default"))


def ago(seconds: float) -> datetime:
    """A time before `NOW`."""
    return NOW - timedelta(seconds=seconds)


def run(status: dict[str, Any] | None = None, *, name: str = "mnist", generation: int = 1, **spec: Any) -> TrainingRun:
    """A stored TrainingRun."""
    meta = {"name": name, "namespace": "team-a", "uid": UID, "generation": generation, "resourceVersion": "7"}
    return TrainingRun.from_dict({"metadata": meta, "spec": {"image": "trainer:1", **spec}, "status": status or {}})


def tracked(**changes: Any) -> TrackedRun:
    """An MLflow run as the poller sees it."""
    return replace(TrackedRun("run1", "1", "RUNNING", tags={"runwright.attempt": "1"}), **changes)


def metric(name: str, value: float, step: int = 0) -> Metric:
    """A point."""
    return Metric(name, value, step, NOW)


def job(attempt: int = 1, **changes: Any) -> JobView:
    """A Job that runs."""
    view = JobView(
        name=f"mnist-0a1b2c3d-{attempt}",
        uid=f"job-{attempt}",
        attempt=attempt,
        controller_uid=UID,
        created=ago(100),
        ended=None,
        result=None,
        reason="",
        message="",
        deleting=False,
    )
    return replace(view, **changes)


def failed_job(attempt: int = 1, message: str = "", reason: str = "PodFailurePolicy") -> JobView:
    """A Job that failed now."""
    return job(attempt, result="Failed", ended=NOW, reason=reason, message=message)


def pod(index: int = 0, attempt: int = 1, **changes: Any) -> PodView:
    """A pod that has just been made."""
    view = PodView(
        name=f"mnist-0a1b2c3d-{attempt}-{index}-abcde",
        uid=f"pod-{attempt}-{index}",
        attempt=attempt,
        index=index,
        node="",
        phase="Pending",
        reason="",
        message="",
        deleting=False,
        disrupted="",
        unschedulable="",
        waiting_reason="",
        waiting_message="",
        started=None,
        finished=None,
        exit_code=None,
        exit_reason="",
        exit_message="",
        image_id="",
    )
    return replace(view, **changes)


def running_pod(index: int = 0, attempt: int = 1, *, since: float = 60, **changes: Any) -> PodView:
    """A pod that has run for `since` seconds."""
    return pod(index, attempt, **{"phase": "Running", "started": ago(since), "node": "n1", **changes})


def failed_pod(index: int = 0, attempt: int = 1, *, code: int | None = 3, **changes: Any) -> PodView:
    """A pod that failed now."""
    over = {"phase": "Failed", "exit_code": code, "exit_reason": "Error", "finished": NOW}
    return running_pod(index, attempt, **{**over, **changes})


def seen(*views: JobView | PodView, **changes: Any) -> Observed:
    """An observation of these Jobs and pods, with a tracking server that answers."""
    jobs = {view.attempt: view for view in views if isinstance(view, JobView)}
    pods = tuple(view for view in views if isinstance(view, PodView))
    return Observed(**{"jobs": jobs, "pods": pods, "server": SERVER, **changes})


def condition(kind: str, status: Any = "True", reason: str = "Because", message: str = "") -> Condition:
    """A condition that has held for a while."""
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=ago(500))


def told(kind: str, status: str = "True", reason: str = "Because", message: str = "") -> dict[str, Any]:
    """The same as the API server stores it."""
    return condition(kind, status, reason, message).to_dict()


TRACKING = {"experimentId": "1", "experiment": "team-a", "runId": "run1", "url": "https://mlflow.example/"}
STARTING = {
    "phase": "Starting",
    "attempt": 1,
    "tracking": TRACKING,
    "conditions": [told("TrackingAvailable", "True", "RunCreated")],
}
RUNNING = STARTING | {
    "phase": "Running",
    "startTime": "2026-01-01T11:59:00Z",
    "attempts": [{"number": 1, "job": "mnist-0a1b2c3d-1", "startTime": "2026-01-01T11:59:00Z"}],
}
