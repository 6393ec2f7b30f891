"""Whether and when another attempt follows: failures are what the code did, disruptions what happened to it."""

from datetime import datetime, timedelta

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_rules import Retry
from runwright.trainingrun.plan import Ended, Finished, Restarting


def backoff(retry: Retry, ended_before: int) -> timedelta:
    """Wait before the next attempt: ``backoffSeconds`` doubled each time, at most ``maxBackoffSeconds``."""
    doubled = retry.backoff_seconds * 2 ** min(ended_before, 32)
    return timedelta(seconds=min(doubled, retry.max_backoff_seconds))


def after(
    ended: Ended, retry: Retry, status: TrainingRunStatus, now: datetime, *, spread: float = 0.0
) -> Restarting | Finished:
    """Judge the end of an attempt against the two budgets.

    Args:
        ended: How it ended.
        retry: The budgets.
        status: What is used up of them.
        now: The time.
        spread: The wait grows by this share of itself.
    """
    if ended.outcome == "Succeeded":
        return Finished("Succeeded", "Succeeded", ended.message, ended)
    if ended.outcome in ("Suspended", "Stopped"):
        return Restarting(ended, now)
    if ended.outcome == "Failure":
        used, budget, field = (status.failures or 0) + 1, retry.max_failures, "retry.maxFailures"
    else:
        used, budget, field = (status.disruptions or 0) + 1, retry.max_disruptions, "retry.maxDisruptions"
    hopeless = _hopeless(ended, retry)
    if used <= budget and not hopeless:
        return Restarting(ended, now + backoff(retry, used - 1) * (1 + spread))
    allowed = f" ({hopeless})" if hopeless else f" ({field}: {budget})" if budget else ""
    return Finished("Failed", ended.reason, f"attempt {status.attempt}: {ended.message}{allowed}", ended)


def _hopeless(ended: Ended, retry: Retry) -> str:
    """Say why no other attempt may follow, whatever the budget; ``""`` when one may."""
    if ended.final:
        return "another attempt would end the same way"
    if ended.outcome == "Failure" and ended.exit_code in retry.non_retryable_exit_codes:
        return "retry.nonRetryableExitCodes"
    return ""
