"""A server that is killed, paused, started again, or refuses our name for it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from runwright.errors import TrackerUnavailableError
from runwright.ports import Key, NewRun, OrphanVerdict, TrackedRun, TrackingServer
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from tests.contract.tracking.conftest import ENDED, FAST, Script, key_of
from tests.support.mlflow_server import MLflowServer
from tests.support.until import until

Registries = Callable[..., TrackerRegistry]


async def test_an_outage_is_told_once_fails_fast_and_heals_by_itself(
    frail_server: MLflowServer, new: Callable[..., NewRun], registries: Registries
) -> None:
    enqueued: Counter[Key] = Counter()
    verdicts: dict[str, OrphanVerdict] = {}

    async def resolve(run: TrackedRun) -> OrphanVerdict:
        return verdicts.get(run.run_id, "leave")

    calls: Counter[str] = Counter()
    registry = registries(
        lambda key: enqueued.update([key]), resolve=resolve, on_request=lambda call: calls.update([call])
    )
    tracker = registry(TrackingServer(frail_server.uri))
    sweeper = registry._entry(TrackingServer(frail_server.uri)).sweeper
    assert sweeper is not None
    wanted = [new("outage"), new("outage")]
    runs = [await tracker.create_run(each, search_first=False) for each in wanted]
    orphan = await tracker.create_run(new("outage"), search_first=False)
    for each, run in zip(wanted, runs, strict=True):
        tracker.follow(run.run_id, key_of(each))
    await until(lambda: len(enqueued) == 2, "the first views")
    assert tracker.problem == ""

    frail_server.kill()
    before = enqueued.copy()
    await until(lambda: tracker.problem, "the poller to notice")
    assert tracker.problem == f"MLflow at {frail_server.uri} does not answer: cannot connect (Connection refused)"
    await until(lambda: enqueued - before == Counter(dict.fromkeys(map(key_of, wanted), 1)), "each key once")
    problems = {tracker.problem}
    sent = calls["runs/update"]
    for _ in range(20):
        with pytest.raises(TrackerUnavailableError) as raised:
            await tracker.client.update_run(runs[0].run_id, "FAILED", ENDED)
        problems.add(str(raised.value))
    assert len(problems) == 1, "one stable sentence"
    assert calls["runs/update"] - sent <= 2, "fails at once, but for a probe"
    assert tracker.seen(runs[0].run_id) is not None, "what was seen stays"

    with pytest.raises(TrackerUnavailableError):
        await tracker.ping()

    verdicts[orphan.run_id] = "KILLED"  # its TrainingRun was deleted meanwhile
    before, rounds = enqueued.copy(), sweeper.rounds
    await frail_server.restart()
    await until(lambda: not tracker.problem, "recovery")
    await until(lambda: enqueued - before == Counter(dict.fromkeys(map(key_of, wanted), 1)), "each key once more")
    await until(lambda: sweeper.rounds > rounds, "the sweep on return")
    script = Script(frail_server)
    assert script.status(orphan.run_id) == "KILLED"
    await tracker.close_run(runs[0].run_id, "FINISHED", ENDED, tags={})
    assert script.status(runs[0].run_id) == "FINISHED"


async def test_a_ping_ends_an_open_circuit_before_its_pause_is_over(frail_server: MLflowServer) -> None:
    patient = replace(FAST.client, total_seconds=0.3, breaker=replace(FAST.client.breaker, first_seconds=600.0))
    tracker = MLflowTracker(TrackingServer(frail_server.uri), patient)
    await tracker.ping()
    frail_server.pause()
    try:
        results = await asyncio.gather(tracker.ping(), tracker.ping(), return_exceptions=True)
        assert {type(result) for result in results} == {TrackerUnavailableError}
        assert tracker.problem
    finally:
        frail_server.resume()
    with pytest.raises(TrackerUnavailableError):
        await tracker.refresh("0" * 32)

    async def answered() -> bool:
        try:
            await tracker.ping()
        except TrackerUnavailableError:
            return False
        return True

    async with asyncio.timeout(30):
        while not await answered():
            pass
    assert tracker.problem == ""
    assert await tracker.refresh("0" * 32) is None
    await tracker.aclose()


async def test_a_server_that_hangs_is_given_up_and_found_again(
    frail_server: MLflowServer, new: Callable[..., NewRun], registries: Registries
) -> None:
    enqueued: Counter[Key] = Counter()
    settings = replace(FAST, client=replace(FAST.client, total_seconds=0.5))
    registry = registries(lambda key: enqueued.update([key]), settings=settings)
    tracker = registry(TrackingServer(frail_server.uri))
    wanted = new("hanging")
    run = await registries(lambda _key: None)(TrackingServer(frail_server.uri)).create_run(wanted, search_first=False)
    tracker.follow(run.run_id, key_of(wanted))
    await until(lambda: tracker.seen(run.run_id), "the first view")
    frail_server.pause()
    try:
        # The loop stays free meanwhile: many callers wait side by side and get the same answer.
        results = await asyncio.gather(
            *(tracker.set_tags(run.run_id, {"a": str(number)}) for number in range(20)), return_exceptions=True
        )
        assert {type(result) for result in results} == {TrackerUnavailableError}
        assert tracker.problem == f"MLflow at {frail_server.uri} does not answer: no answer within 0.5 s"
    finally:
        frail_server.resume()
    await until(lambda: not tracker.problem, "recovery")
    Script(frail_server).log(run.run_id, loss=1.0)
    await until(lambda: "loss" in getattr(tracker.seen(run.run_id), "metrics", {}), "polling goes on")


async def test_a_run_whose_making_was_cut_off_is_not_made_blindly_again(
    frail_server: MLflowServer, new: Callable[..., NewRun]
) -> None:
    calls: Counter[str] = Counter()
    tracker = MLflowTracker(
        TrackingServer(frail_server.uri),
        replace(FAST.client, total_seconds=0.5),
        on_request=lambda call: calls.update([call]),
    )
    patient = MLflowTracker(TrackingServer(frail_server.uri), FAST.client)
    first = await tracker.create_run(new("cut-off"), search_first=False)
    wanted = new("cut-off")
    frail_server.pause()
    try:
        with pytest.raises(TrackerUnavailableError):
            await tracker.create_run(wanted, search_first=False)
    finally:
        frail_server.resume()
    assert calls["runs/create"] == 2
    # The server got the request and carries it out once it is awake: what a blind second try would have doubled.
    script = Script(frail_server)
    search = {"experiment_ids": [first.experiment_id], "filter": f"tags.`runwright.uid` = '{wanted.uid}'"}
    await until(lambda: script.post("runs/search", **search).get("runs"), "the server to carry it out")
    adopted = await patient.create_run(wanted, search_first=True)
    found = script.post("runs/search", **search)["runs"]
    assert [run["info"]["run_id"] for run in found] == [adopted.run_id]
    await tracker.aclose()
    await patient.aclose()


async def test_a_refused_host_name_says_what_to_allow(frail_server: MLflowServer, new: Callable[..., NewRun]) -> None:
    tracker = MLflowTracker(TrackingServer(f"http://localhost:{frail_server.port}"), FAST.client)
    with pytest.raises(TrackerUnavailableError, match=rf"'localhost:{frail_server.port}'.*--allowed-hosts"):
        await tracker.create_run(new(), search_first=False)
    assert "allowed-hosts" in tracker.problem
    await tracker.aclose()


async def test_a_server_that_is_not_mlflow_is_told_so(frail_server: MLflowServer, new: Callable[..., NewRun]) -> None:
    tracker = MLflowTracker(TrackingServer(f"{frail_server.uri}/some/prefix"), FAST.client)
    with pytest.raises(TrackerUnavailableError, match="does not answer experiments/get-by-name as an MLflow server"):
        await tracker.create_run(new(), search_first=False)
    await tracker.aclose()


async def test_a_connection_that_the_server_closed_as_idle_is_replaced_unnoticed(
    frail_server: MLflowServer, new: Callable[..., NewRun]
) -> None:
    calls: Counter[str] = Counter()
    tracker = MLflowTracker(
        TrackingServer(frail_server.uri),
        replace(FAST.client, keepalive_seconds=600.0),
        on_request=lambda call: calls.update([call]),
    )
    run = await tracker.create_run(new(), search_first=False)
    connector = tracker.transport._open().connector
    assert connector is not None
    pooled = next(iter(connector._conns.values()))[0][0]
    await until(lambda: not pooled.is_connected(), "uvicorn to close the idle connection (after 5 s)")
    assert await tracker.refresh(run.run_id) is not None
    await tracker.aclose()
