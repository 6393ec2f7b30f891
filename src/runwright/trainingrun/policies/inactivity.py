"""``inactivity``: a run that logs nothing any more. A hung collective keeps its GPUs busy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runwright.ports import Metric

SYSTEM = "system/"
"""Prefix of MLflow's system metrics, which a thread of their own logs whatever the training does."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long nothing was heard of a run."""

    seconds: float
    """Since the last sign of life."""
    left: float
    """Until the time-out; zero or less: it is over."""


def last_logged(metrics: Mapping[str, Metric], since: datetime, now: datetime) -> datetime:
    """Return when the code last logged a point, but not before `since`; the pods' clocks may be ahead."""
    times = (m.timestamp for name, m in metrics.items() if not name.startswith(SYSTEM))
    return min(max((since, *times)), max(now, since))


def silence(timeout: int, logged: datetime, line: datetime | None, now: datetime) -> Silence:
    """Measure the silence.

    Args:
        timeout: ``inactivity.timeoutSeconds``.
        logged: `last_logged`.
        line: When the first node last printed a line; None when that is not known.
        now: The time.
    """
    last = max(logged, line) if line is not None else logged
    seconds = (now - last).total_seconds()
    return Silence(seconds, timeout - seconds)
