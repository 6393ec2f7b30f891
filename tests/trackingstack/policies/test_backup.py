from runwright.trackingstack.observed import BackupView
from runwright.trackingstack.policies.backup import last, told
from tests.trackingstack.samples import NOW, ago


def said(view: BackupView | None) -> tuple[str, str, str] | None:
    found = told(view)
    return (found.status, found.reason, found.message) if found else None


def test_what_the_latest_backup_came_to() -> None:
    assert said(None) == ("Unknown", "NoBackupYet", "")
    assert said(BackupView()) == ("Unknown", "NoBackupYet", "")
    assert said(BackupView(NOW)) == ("True", "BackupSucceeded", "")
    assert said(BackupView(NOW, failure="no bucket")) == ("False", "BackupFailed", "no bucket")


def test_a_running_backup_changes_nothing_yet() -> None:
    assert told(BackupView(running=True)) is None
    assert told(BackupView(NOW, running=True)) is None


def test_the_time_of_the_last_one_is_never_forgotten() -> None:
    assert last(None, None) is None
    assert last(None, NOW) == NOW
    assert last(BackupView(), NOW) == NOW
    assert last(BackupView(ago(60)), NOW) == NOW
    assert last(BackupView(NOW), ago(60)) == NOW
