"""The poller against a real server."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from runwright.ports import Key, NewRun, TrackingServer
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from tests.contract.tracking.conftest import FAST, Script, key_of
from tests.support.until import until

Registries = Callable[..., TrackerRegistry]


async def test_every_change_of_a_followed_run_enqueues_its_key_and_nothing_else_does(
    script: Script, new: Callable[..., NewRun], registries: Registries
) -> None:
    enqueued: Counter[Key] = Counter()
    registry = registries(lambda key: enqueued.update([key]))
    tracker = registry(TrackingServer(script.uri))
    poller = registry._entry(TrackingServer(script.uri)).poller
    wanted = new()
    key = key_of(wanted)
    run = await tracker.create_run(wanted, search_first=False)
    tracker.follow(run.run_id, key)
    await until(lambda: tracker.seen(run.run_id), "the first view")
    changes: list[tuple[str, Callable[[], object]]] = [
        ("a metric", lambda: script.log(run.run_id, loss=0.5)),
        ("NaN", lambda: script.log(run.run_id, at=1, loss="NaN")),
        ("a tag", lambda: script.post("runs/set-tag", run_id=run.run_id, key="note", value="x")),
        ("the state", lambda: script.post("runs/update", run_id=run.run_id, status="FINISHED")),
        ("deletion", lambda: script.post("runs/delete", run_id=run.run_id)),
        ("restoring", lambda: script.post("runs/restore", run_id=run.run_id)),
    ]
    for what, change in changes:
        before = enqueued[key]
        change()
        await until(lambda before=before: enqueued[key] > before, f"{what} to enqueue")  # type: ignore[misc]
        rounds, quiet = poller.rounds, enqueued[key]
        await until(lambda rounds=rounds: poller.rounds > rounds + 2, "three more polls")  # type: ignore[misc]
        assert enqueued[key] == quiet, f"unchanged polls after {what} enqueued"
    seen = tracker.seen(run.run_id)
    assert seen is not None
    assert math.isnan(seen.metrics["loss"].value)
    assert set(enqueued) == {key}
    tracker.unfollow(run.run_id)
    assert tracker.seen(run.run_id) is None


async def test_nothing_is_asked_while_nothing_is_followed(
    script: Script, new: Callable[..., NewRun], registries: Registries
) -> None:
    calls: Counter[str] = Counter()
    registry = registries(lambda _key: None, on_request=lambda call: calls.update([call]))
    tracker = registry(TrackingServer(script.uri))
    wanted = new()
    run = await tracker.create_run(wanted, search_first=False)
    tracker.follow(run.run_id, key_of(wanted))
    await until(lambda: calls["runs/search"] >= 2, "two polls")
    tracker.unfollow(run.run_id)
    poller = registry._entry(TrackingServer(script.uri)).poller
    beat = poller.last_beat
    poller._wake.set()
    await until(lambda: poller.last_beat > beat, "the loop to notice")
    asked = calls.total()
    poller._wake.set()
    beat = poller.last_beat
    await until(lambda: poller.last_beat > beat, "another turn")
    assert calls.total() == asked
    assert 0 <= registry.oldest_beat_seconds < 30


async def test_many_runs_are_polled_in_chunks_of_one_search_each(
    script: Script, new: Callable[..., NewRun], registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwright.tracking.experiments.SEARCH_CHUNK", 50)
    enqueued: Counter[Key] = Counter()
    calls: Counter[str] = Counter()
    # Long intervals: one poll and no second one while we count. 120 runs at once are slow to make.
    patient = replace(FAST.client, total_seconds=60.0)
    settings = replace(FAST, client=patient, poll=replace(FAST.poll, few_seconds=60, many_seconds=60))
    registry = registries(
        lambda key: enqueued.update([key]), settings=settings, on_request=lambda call: calls.update([call])
    )
    tracker = registry(TrackingServer(script.uri))
    wanted = [new(f"many-{number % 3}", cluster="many") for number in range(120)]
    runs = await asyncio.gather(*(tracker.create_run(each, search_first=False) for each in wanted))
    for each, run in zip(wanted, runs, strict=True):
        tracker.follow(run.run_id, key_of(each))
    await until(lambda: len(enqueued) == 120, "the first view of all")
    assert calls["runs/search"] == 3
    assert all(tracker.seen(run.run_id) for run in runs)


async def test_one_search_takes_the_full_chunk_of_ids(tracker: MLflowTracker, new: Callable[..., NewRun]) -> None:
    run = await tracker.create_run(new(), search_first=False)
    for number in range(499):
        tracker.locator._experiments[f"{number:032x}"] = run.experiment_id
    found = await tracker.locator.read([run.run_id, *(f"{number:032x}" for number in range(499))])
    assert set(found) == {run.run_id}
