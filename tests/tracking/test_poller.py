"""The poller's loop when things around it break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Key, TrackedRun, TrackingServer
from runwright.tracking import poller as module
from runwright.tracking import registry as registry_module
from runwright.tracking.convert import StoredRun
from runwright.tracking.poller import Poller, PollSettings
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from tests.support.until import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def tracker() -> AsyncIterator[MLflowTracker]:
    made = MLflowTracker(TrackingServer("http://mlflow.invalid"))
    yield made
    await made.aclose()


def reading(tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch, read: Callable[[], None]) -> None:
    """Let the tracker's reads call `read` and find run "r"."""

    async def found(run_ids: object) -> dict[str, StoredRun]:
        read()
        return {"r": StoredRun(TrackedRun("r", "1", "RUNNING"), "", 0)}

    monkeypatch.setattr(tracker.locator, "read", found)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), TrackerUnavailableError("away"), RefusedError("no"), KeyError("x")]
)
async def test_nothing_ends_the_loop(tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(module, "FAILED_SECONDS", 0.0)
    monkeypatch.setattr(module, "SOON_SECONDS", 0.0)
    errors = [error, error]

    def read() -> None:
        if errors:
            raise errors.pop()

    reading(tracker, monkeypatch, read)
    enqueued: list[Key] = []
    poller = Poller(tracker, enqueued.append, settings=PollSettings(few_seconds=0.01))
    tracker.follow("r", Key("n", "r"))
    task = asyncio.create_task(poller.run())
    await until(lambda: poller.rounds >= 2, "rounds after the errors")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert enqueued == [Key("n", "r")]


async def test_few_runs_are_polled_often_and_many_seldom(tracker: MLflowTracker) -> None:
    poller = Poller(tracker, lambda _key: None, settings=PollSettings(jitter=0.0))
    for number in range(50):
        tracker.follow(str(number), Key("n", str(number)))
    assert poller._interval() == 2.0
    tracker.follow("50", Key("n", "50"))
    assert poller._interval() == 10.0


async def test_a_loop_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "RESTART_SECONDS", 0.0)
    starts = 0

    async def run(_poller: Poller) -> None:
        nonlocal starts
        starts += 1
        if starts % 2:
            raise RuntimeError("the loop broke")

    monkeypatch.setattr(Poller, "run", run)
    registry = TrackerRegistry("cluster", lambda _key: None)
    registry(TrackingServer("http://mlflow.invalid"))
    await until(lambda: starts > 3, "restarts")
    await registry.aclose()


async def test_one_tracker_per_server_until_it_is_discarded() -> None:
    registry = TrackerRegistry("cluster", lambda _key: None)
    first = registry(TrackingServer("http://mlflow.invalid"))
    assert registry(TrackingServer("http://mlflow.invalid/", shared=True)) is first
    assert registry(TrackingServer("http://other.invalid")) is not first
    assert 0 <= registry.oldest_beat_seconds < 30
    await registry.discard(TrackingServer("http://mlflow.invalid"))
    await registry.discard(TrackingServer("http://never.invalid"))
    assert registry(TrackingServer("http://mlflow.invalid")) is not first
    before = asyncio.all_tasks()
    await registry.aclose()
    assert {task.get_name() for task in asyncio.all_tasks()} < {task.get_name() for task in before}
    assert registry.oldest_beat_seconds == 0.0
