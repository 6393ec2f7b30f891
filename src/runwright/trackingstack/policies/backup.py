"""What the latest backup came to."""

from datetime import datetime

from runwright.conditions import Says
from runwright.trackingstack.observed import BackupView


def told(view: BackupView | None) -> Says | None:
    """What ``BackupSucceeded`` says; None leaves it as it is: a running backup tells nothing yet."""
    if view is None:
        return Says("Unknown", "NoBackupYet")
    if view.failure:
        return Says("False", "BackupFailed", view.failure)
    if view.running:
        return None
    return Says("True", "BackupSucceeded") if view.last_success else Says("Unknown", "NoBackupYet")


def last(view: BackupView | None, before: datetime | None) -> datetime | None:
    """When the last successful backup ended: a CronJob that was made anew has forgotten, the status has not."""
    seen = view.last_success if view is not None else None
    return max((time for time in (seen, before) if time is not None), default=None)
