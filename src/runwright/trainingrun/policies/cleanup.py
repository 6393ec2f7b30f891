"""``podsTTLSecondsAfterFinished``: Jobs and pods of a finished run go, the TrainingRun and its MLflow run stay."""

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
