"""How often metrics go into the status: often while somebody is likely to watch, seldom in long runs."""

from datetime import datetime, timedelta
from typing import Final

CADENCE: Final = ((timedelta(minutes=5), 5.0), (timedelta(hours=1), 15.0))
"""(age of the run below which it holds, seconds between two writes): a write per active run loads the API server."""
LATER: Final = 60.0


def interval(age: timedelta) -> float:
    """Seconds between two metric writes of a run of this age."""
    return next((seconds for limit, seconds in CADENCE if age < limit), LATER)


def due_in(started: datetime | None, written: datetime | None, now: datetime) -> float:
    """Seconds until metrics may be written again; zero or less means now."""
    if started is None or written is None:
        return 0.0
    return interval(now - started) - (now - written).total_seconds()
