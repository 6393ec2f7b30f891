"""What goes when a run is over: Jobs and pods (``podsTTLSecondsAfterFinished``), and on request the run itself."""

from collections.abc import Iterable
from datetime import datetime

from runwright.trainingrun.observed import JobView


def expired(jobs: Iterable[JobView], ttl: int, now: datetime) -> tuple[tuple[JobView, ...], float | None]:
    """Split off the Jobs whose time is over.

    Returns:
        The Jobs to delete now, and the seconds until the next one is due (None: no Job is left to wait for).
    """
    due = {job: ttl - (now - job.ended).total_seconds() for job in jobs if job.ended is not None and not job.deleting}
    over = tuple(job for job, left in due.items() if left <= 0)
    rest = [left for left in due.values() if left > 0]
    return over, min(rest, default=None)


def life_left(ttl: int | None, completed: datetime | None, now: datetime) -> float | None:
    """Seconds that the TrainingRun itself has left (``ttlSecondsAfterFinished``); None: it stays."""
    if ttl is None or completed is None:
        return None
    return ttl - (now - completed).total_seconds()
