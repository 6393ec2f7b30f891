"""``pendingDeadlineSeconds``: how long a run may wait for its first attempt to run."""

from datetime import datetime


def seconds_left(limit: int | None, created: datetime | None, resumed: datetime | None, now: datetime) -> float | None:
    """Seconds until the deadline strikes (zero or less: it has); None when no clock is ticking.

    Args:
        limit: ``pendingDeadlineSeconds``.
        created: When the TrainingRun was stored.
        resumed: When it was last taken out of suspension: the wait begins anew.
        now: The time.
    """
    if limit is None or created is None:
        return None
    since = max(created, resumed) if resumed is not None else created
    return limit - (now - since).total_seconds()
