"""Whether and when another attempt follows: failures are what the code did, disruptions what happened to it."""

from datetime import datetime, timedelta

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_rules import Retry
from runwright.trainingrun.plan import Ended, Finished, Restarting


def backoff(retry: Retry, ended_before: int) -> timedelta:
    """Wait before the next attempt: ``backoffSeconds`` doubled each time, at most ``maxBackoffSeconds``."""
    doubled = retry.backoff_seconds * 2 ** min(ended_before, 32)
    return timedelta(seconds=min(doubled, retry.max_backoff_seconds))


def after(ended: Ended, retry: Retry, status: TrainingRunStatus, now: datetime) -> Restarting | Finished:
    """Judge the end of an attempt against the two budgets."""
    if ended.outcome == "Succeeded":
        return Finished("Succeeded", "Succeeded", ended.message, ended)
    if ended.outcome == "Failure":
        used, budget, field = (status.failures or 0) + 1, retry.max_failures, "retry.maxFailures"
    else:
        used, budget, field = (status.disruptions or 0) + 1, retry.max_disruptions, "retry.maxDisruptions"
    if used <= budget:
        return Restarting(ended, now + backoff(retry, used - 1))
    allowed = f" ({field}: {budget})" if budget else ""
    return Finished("Failed", ended.reason, f"attempt {status.attempt}: {ended.message}{allowed}", ended)
