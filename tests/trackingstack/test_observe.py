"""What is gathered about backups and drift, over the model world."""

from typing import Any

import pytest

from runwright.errors import RefusedError
from runwright.ports import Kind
from tests.trackingstack.model import Life

SPEC = {"backup": {"destination": {"bucket": "backups"}}}
LABELS = {"app.kubernetes.io/instance": "a-mlflow", "app.kubernetes.io/component": "backup"}


def put(life: Life, kind: Kind, name: str, labels: dict[str, str] | None = None, **fields: Any) -> None:
    meta = {"name": name, "namespace": "team-a", "labels": labels or {}}
    meta |= {"creationTimestamp": life.world.now.isoformat()}
    life.world.put(kind, {"metadata": meta, **fields})


def cron_job(life: Life, **status: Any) -> None:
    life.world.remove(Kind.CRON_JOB, "a-mlflow-backup")
    put(life, Kind.CRON_JOB, "a-mlflow-backup", status=status)


def ended(kind: str, message: str = "") -> dict[str, Any]:
    return {
        "conditions": [{"type": kind, "status": "True", "message": message}],
        "completionTime": "2026-01-01T02:03:04Z",
    }


async def told(life: Life) -> tuple[str, str, str]:
    await life.step()
    condition = next(c for c in life.world.status["conditions"] if c["type"] == "BackupSucceeded")
    return condition["status"], condition["message"], life.world.status.get("lastBackupTime", "")


async def begun() -> Life:
    life = Life()
    life.world.apply(SPEC)
    await life.until_settled()
    life.world.answers = lambda: True  # type: ignore[method-assign]  # the pods of backups do not count
    return life


async def test_before_the_first_backup_nothing_is_known() -> None:
    life = await begun()
    assert await told(life) == ("Unknown", "", "")
    cron_job(life)
    assert await told(life) == ("Unknown", "", "")


async def test_a_successful_backup() -> None:
    life = await begun()
    cron_job(life, lastScheduleTime="2026-01-01T02:00:00Z", lastSuccessfulTime="2026-01-01T02:03:04Z")
    assert await told(life) == ("True", "", "2026-01-01T02:03:04Z")


async def test_a_failed_backup_whose_pod_is_gone_is_found_by_its_schedule() -> None:
    life = await begun()
    cron_job(life, lastScheduleTime="2026-01-01T02:00:00Z", lastSuccessfulTime="2025-12-31T02:00:00Z")
    put(life, Kind.JOB, "a-mlflow-backup-29453880", status=ended("Failed", "deadline exceeded"))
    assert await told(life) == ("False", "deadline exceeded", "2025-12-31T02:00:00Z")


async def test_the_latest_one_counts_also_when_made_by_hand_and_its_last_words_are_told() -> None:
    life = await begun()
    cron_job(life, lastScheduleTime="2026-01-01T02:00:00Z", lastSuccessfulTime="2026-01-01T02:03:04Z")
    labels = {**LABELS, "batch.kubernetes.io/job-name": "by-hand"}
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such bucket"}}
    status = {"phase": "Failed", "containerStatuses": [{"name": "copy", "state": state}]}
    put(life, Kind.POD, "by-hand-x", labels, status=status)
    put(life, Kind.JOB, "by-hand", status=ended("Failed", "BackoffLimitExceeded"))
    assert await told(life) == ("False", "container copy: no such bucket", "2026-01-01T02:03:04Z")


async def test_a_running_backup_leaves_the_last_word() -> None:
    life = await begun()
    cron_job(life, lastScheduleTime="2026-01-01T02:00:00Z")
    put(life, Kind.JOB, "a-mlflow-backup-29453880", status=ended("Failed", "no"))
    assert await told(life) == ("False", "no", "")
    put(life, Kind.POD, "x", {**LABELS, "batch.kubernetes.io/job-name": "next"}, status={"phase": "Running"})
    put(life, Kind.JOB, "next", status={})
    assert await told(life) == ("False", "no", "")
    life.world.change(Kind.JOB, "next", lambda new: new.update(status=ended("Complete")))
    assert await told(life) == ("True", "", "2026-01-01T02:03:04Z")


async def test_drift_that_cannot_be_told_is_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    life = await begun()
    life.world.calls.clear()

    async def drift(_wanted: object) -> tuple[str, ...]:
        raise RefusedError("field is immutable", status=422)

    monkeypatch.setattr(life.process.reconciler._releases, "drift", drift)
    for _ in range(15):
        await life.step()
    assert not [call for call in life.world.calls if call.startswith("helm")]
    assert life.world.condition("Ready")[0] == "True"
