from typing import Any

from runwright.apis.v1alpha1 import TrackingStackStatus
from runwright.conditions import Says, merge
from runwright.trackingstack.notes import notes
from tests.trackingstack.samples import NOW


def status(*revisions: int, uri: str = "http://m", **says: Says) -> TrackingStackStatus:
    releases: list[dict[str, Any]] = [
        {"name": f"r{n}", "chart": "c", "version": "0.1.0", "revision": revision, "state": "deployed"}
        for n, revision in enumerate(revisions)
    ]
    found = TrackingStackStatus.from_dict({"trackingUri": uri, "releases": releases})
    return found.model_copy(update={"conditions": merge((), says, 1, NOW)})


def told(old: TrackingStackStatus, new: TrackingStackStatus) -> list[tuple[str, str, str]]:
    return [(note.type, note.reason, note.message) for note in notes(old, new)]


UP = Says("True", "PartsReady")


def test_a_new_revision_and_readiness_are_milestones() -> None:
    assert told(status(), status(1, Ready=UP)) == [
        ("Normal", "Released", "r0: revision 1 of chart c 0.1.0"),
        ("Normal", "Ready", "MLflow answers at http://m"),
    ]
    assert told(status(1, Ready=UP), status(1, Ready=UP)) == []


def test_what_every_stack_passes_through_is_none() -> None:
    for reason in ("Starting", "Updating", "WaitingForDatabase"):
        assert told(status(), status(Ready=Says("False", reason))) == []


def test_a_problem_is_told_once() -> None:
    down = status(Ready=Says("False", "ImagePullBackOff", "check it"))
    assert told(status(Ready=UP), down) == [("Warning", "ImagePullBackOff", "check it")]
    assert told(down, status(Ready=Says("False", "ImagePullBackOff", "in other words"))) == []


def test_a_failed_backup_is_told() -> None:
    failed = status(Ready=UP, BackupSucceeded=Says("False", "BackupFailed", "no bucket"))
    assert told(status(Ready=UP), failed) == [("Warning", "BackupFailed", "no bucket")]
    assert told(failed, status(Ready=UP, BackupSucceeded=Says("True", "BackupSucceeded"))) == []
