"""The orphan sweeper against a real server."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from runwright.names import TAG_REASON
from runwright.ports import Key, NewRun, OrphanVerdict, ResolveOrphan, TrackedRun
from runwright.tracking import sweeper as sweeper_module
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.sweeper import Sweeper
from runwright.tracking.tracker import MLflowTracker
from tests.contract.tracking.conftest import ENDED, FAST, Script, key_of
from tests.support.mlflow_server import MLflowServer
from tests.support.until import until


def answering(verdicts: Mapping[str, OrphanVerdict]) -> ResolveOrphan:
    async def resolve(run: TrackedRun) -> OrphanVerdict:
        return verdicts.get(run.run_id, "leave")

    return resolve


def sweeper_of(tracker: MLflowTracker, resolve: ResolveOrphan, enqueued: Counter[Key] | None = None) -> Sweeper:
    counter: Counter[Key] = Counter() if enqueued is None else enqueued
    return Sweeper(tracker, "cluster-1", resolve, lambda key: counter.update([key]), now=lambda: ENDED)


async def test_orphans_are_closed_with_what_is_nested_and_all_others_are_left(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    gone, done, alive, lost = [await tracker.create_run(wanted := new(), search_first=False) for _ in range(4)]
    foreign = await tracker.create_run(new(cluster="cluster-2"), search_first=False)
    child = script.nested(gone.experiment_id, gone.run_id)
    enqueued: Counter[Key] = Counter()
    verdicts: dict[str, OrphanVerdict] = {
        gone.run_id: "KILLED",
        done.run_id: "FINISHED",
        lost.run_id: "reconcile",
        foreign.run_id: "KILLED",  # must not be asked
    }
    await sweeper_of(tracker, answering(verdicts), enqueued).sweep()
    assert [script.status(run_id) for run_id in (gone.run_id, child, done.run_id)] == ["KILLED", "KILLED", "FINISHED"]
    assert [script.status(run.run_id) for run in (alive, lost, foreign)] == ["RUNNING"] * 3
    assert enqueued == {key_of(wanted): 1}
    assert {"key": TAG_REASON, "value": "Orphaned"} in script.run(gone.run_id)["data"]["tags"]
    assert TAG_REASON not in {tag["key"] for tag in script.run(done.run_id)["data"]["tags"]}


async def test_children_left_running_below_ended_runs_are_closed_once_their_trainingrun_has_ended(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    ended, between, foreign = [
        await tracker.create_run(new(cluster=cluster), search_first=False)
        for cluster in ("cluster-1", "cluster-1", "cluster-2")
    ]
    for run in (ended, between, foreign):
        script.post("runs/update", run_id=run.run_id, status="FINISHED", end_time=7)
    child = script.nested(ended.experiment_id, ended.run_id)
    grandchild = script.nested(ended.experiment_id, child)
    elsewhere = script.nested(script.experiment("another experiment"), ended.run_id)
    left = [script.nested(between.experiment_id, between.run_id), script.nested(foreign.experiment_id, foreign.run_id)]
    verdicts: dict[str, OrphanVerdict] = {ended.run_id: "FINISHED", foreign.run_id: "FINISHED"}
    await sweeper_of(tracker, answering(verdicts)).sweep()
    assert [script.status(run_id) for run_id in (child, grandchild, elsewhere)] == ["KILLED"] * 3
    assert [script.status(run_id) for run_id in left] == ["RUNNING"] * 2


async def test_what_has_to_wait_is_left_and_asked_about_again_soon(
    mlflow_server: MLflowServer,
    script: Script,
    new: Callable[..., NewRun],
    registries: Callable[..., TrackerRegistry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeper_module, "WAIT_SECONDS", 0.05)
    verdicts: dict[str, OrphanVerdict] = {}
    registry = registries(lambda _key: None, resolve=answering(verdicts))
    tracker = registry(mlflow_server.tracking)
    run = await tracker.create_run(new(), search_first=False)
    verdicts[run.run_id] = "wait"
    sweeper = registry._entry(mlflow_server.tracking).sweeper
    assert sweeper is not None
    sweeper.request()
    rounds = sweeper.rounds
    await until(lambda: sweeper.rounds > rounds + 3, "rounds without being asked")
    assert script.status(run.run_id) == "RUNNING"
    verdicts[run.run_id] = "KILLED"
    await until(lambda: script.status(run.run_id) == "KILLED", "the end of the wait")


async def test_a_question_that_cannot_be_answered_closes_nothing_and_stops_nothing(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    unclear = await tracker.create_run(new(), search_first=False)
    gone = await tracker.create_run(new(), search_first=False)

    async def resolve(run: TrackedRun) -> OrphanVerdict:
        if run.run_id == unclear.run_id:
            raise RuntimeError("the API server is away")
        return "KILLED" if run.run_id == gone.run_id else "leave"

    await sweeper_of(tracker, resolve).sweep()
    assert (script.status(unclear.run_id), script.status(gone.run_id)) == ("RUNNING", "KILLED")


async def test_it_sweeps_at_start_and_when_asked(
    mlflow_server: MLflowServer, script: Script, new: Callable[..., NewRun], registries: Callable[..., TrackerRegistry]
) -> None:
    verdicts: dict[str, OrphanVerdict] = {}
    registry = registries(lambda _key: None, resolve=answering(verdicts))
    tracker = registry(mlflow_server.tracking)
    sweeper = registry._entry(mlflow_server.tracking).sweeper
    assert sweeper is not None
    await until(lambda: sweeper.rounds == 1, "the sweep at start")
    run = await tracker.create_run(new(), search_first=False)
    verdicts[run.run_id] = "KILLED"
    sweeper.request()
    await until(lambda: script.status(run.run_id) == "KILLED", "the sweep on request")


async def test_a_server_that_no_stack_names_any_more_goes_after_its_orphans_are_closed(
    mlflow_server: MLflowServer,
    script: Script,
    new: Callable[..., NewRun],
    registries: Callable[..., TrackerRegistry],
) -> None:
    verdicts: dict[str, OrphanVerdict] = {}
    asked: Counter[str] = Counter()

    async def resolve(run: TrackedRun) -> OrphanVerdict:
        asked[run.run_id] += 1
        return verdicts.get(run.run_id, "leave")

    settings = replace(FAST, unused_seconds=0.0, farewell_pause=0.05)
    registry = registries(lambda _key: None, resolve=resolve, settings=settings)
    tracker = registry(mlflow_server.tracking)
    run = await tracker.create_run(new(), search_first=False)
    verdicts[run.run_id] = "wait"  # its pods are ending
    asked.clear()
    registry.retain([])
    await until(lambda: asked[run.run_id] > 2, "the farewell to wait for the pods")
    assert not tracker.transport._closed
    verdicts[run.run_id] = "KILLED"
    await until(lambda: tracker.transport._closed, "the server to be given up")
    assert script.status(run.run_id) == "KILLED"
