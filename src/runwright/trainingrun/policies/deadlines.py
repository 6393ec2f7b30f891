"""``activeDeadlineSeconds``: how long a run may run; waiting and backing off do not count."""

from datetime import datetime

from runwright.trainingrun.observed import PodView


def running_since(pods: tuple[PodView, ...], nodes: int) -> datetime | None:
    """When the last of the attempt's nodes began to run; None while one has not."""
    begun = {p.index: p.started for p in pods if p.started is not None}
    return max(begun.values()) if len(begun) >= nodes else None


def seconds_left(limit: int | None, spent_before: int, since: datetime | None, now: datetime) -> float | None:
    """Seconds until the deadline strikes (zero or less: it has); None when no clock is ticking.

    Args:
        limit: ``activeDeadlineSeconds``.
        spent_before: Running seconds of earlier attempts.
        since: When the current attempt began to run; None while it does not.
        now: The time.
    """
    if limit is None or since is None:
        return None
    return limit - spent_before - (now - since).total_seconds()
