"""``stop`` and early stopping: how a run ends because somebody has had enough, not because its code was through."""

from datetime import datetime, timedelta

from runwright.apis.v1alpha1 import TrainingRunSpec
from runwright.apis.v1alpha1.trainingrun_status import StopStatus
from runwright.trainingrun.plan import Ended, Finished, Stopping

REQUESTED = "Requested"
EARLY = "EarlyStopping"


def requested(spec: TrainingRunSpec, under_way: StopStatus | None) -> Stopping | None:
    """Return the stop that ``spec.stop`` asks for and the status does not know yet; Cancel overtakes Finish."""
    wanted = spec.stop
    if wanted is None or (under_way is not None and under_way.mode in (wanted.mode, "Cancel")):
        return None
    return Stopping(wanted.mode, REQUESTED, wanted.reason or f"spec.stop: {wanted.mode}")


def ends_at(spec: TrainingRunSpec, stop: StopStatus) -> datetime:
    """When the code has had its time to end by itself."""
    if stop.reason == EARLY:
        seconds = spec.early_stopping.timeout_seconds if spec.early_stopping else 0
    else:
        seconds = spec.stop.timeout_seconds if spec.stop else 0
    return stop.time + timedelta(seconds=seconds)


def without_attempt(stop: StopStatus, *, trained: bool) -> Finished:
    """Judge a stop that comes while no attempt runs: there is something to finish only if one ever ran."""
    if stop.mode == "Finish" and trained:
        return Finished("Succeeded", told(stop), stop.message or "stopped between two attempts")
    return Finished("Cancelled", "Cancelled", stop.message or "cancelled")


def after(ended: Ended, stop: StopStatus) -> Finished:
    """Judge the end of an attempt that was asked to finish: it has no successor, whatever ended it."""
    if ended.outcome == "Failure":
        return Finished("Failed", ended.reason, f"while it was stopped: {ended.message}", ended)
    return Finished("Succeeded", told(stop), stop.message or ended.message, ended)


def told(stop: StopStatus) -> str:
    """Return the reason of the condition Complete."""
    return EARLY if stop.reason == EARLY else "Stopped"
