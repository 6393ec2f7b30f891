"""``suspend``: the pods go, the run stays. Suspended time counts for no clock."""

from datetime import datetime, timedelta
from typing import Final

from runwright.trainingrun.plan import Ended

NEWS: Final = timedelta(seconds=5)
"""Before another attempt begins, all pods of the old one must be known."""


def ended(now: datetime) -> Ended:
    """Describe the end of an attempt that is suspended: it counts against no budget."""
    return Ended("Suspended", "Suspended", "spec.suspend is true", now)
