"""Closing: nested runs, deleted runs, dying scripts, and the number of requests."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from runwright.names import TAG_REASON
from runwright.ports import Key, NewRun, RunStatus
from runwright.tracking.registry import TrackerRegistry
from runwright.tracking.tracker import MLflowTracker
from tests.contract.tracking.conftest import ENDED, FAST, Script, key_of
from tests.support.mlflow_server import MLflowServer
from tests.support.until import until


async def test_the_state_the_end_and_the_tags_are_written(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    await tracker.close_run(run.run_id, "FAILED", ENDED, tags={TAG_REASON: "OOMKilled"})
    stored = script.run(run.run_id)
    assert stored["info"]["status"] == "FAILED"
    assert stored["info"]["end_time"] == ENDED.timestamp() * 1000
    assert {"key": TAG_REASON, "value": "OOMKilled"} in stored["data"]["tags"]


@pytest.mark.parametrize(("status", "below"), [("FINISHED", "KILLED"), ("FAILED", "FAILED"), ("KILLED", "KILLED")])
async def test_running_runs_three_levels_deep_are_closed_and_others_left(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], status: RunStatus, below: str
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    stranger = await tracker.create_run(new(run.experiment_id), search_first=False)
    experiment = run.experiment_id
    fold = script.nested(experiment, run.run_id)
    done = script.nested(experiment, run.run_id)
    script.post("runs/update", run_id=done, status="FINISHED", end_time=7)
    under_fold = script.nested(experiment, fold)
    under_done = script.nested(experiment, done)
    third = script.nested(experiment, under_fold)
    odd = [script.nested(experiment, "no'such\"run"), script.nested(experiment, "0" * 32)]
    circle = script.nested(experiment, stranger.run_id)
    script.post("runs/set-tag", run_id=stranger.run_id, key="mlflow.parentRunId", value=circle)
    await tracker.close_run(run.run_id, status, ENDED, tags={})
    assert script.status(run.run_id) == status
    assert [script.status(child) for child in (fold, under_fold, under_done, third)] == [below] * 4
    assert script.status(done) == "FINISHED"
    assert [script.status(other) for other in (stranger.run_id, circle, *odd)] == ["RUNNING"] * 4


async def test_closing_a_deleted_or_purged_run_is_done(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    tracker.follow(run.run_id, Key("team-a", "x"))
    script.post("runs/delete", run_id=run.run_id)
    await tracker.close_run(run.run_id, "KILLED", ENDED, tags={"a": "b"})
    await tracker.close_run(run.run_id, "KILLED", ENDED, tags={})
    await tracker.close_run("e" * 32, "KILLED", ENDED, tags={})
    assert len(tracker.followed) == 0
    assert tracker.followed.next_look is None


async def test_closings_of_the_same_moment_share_the_search_for_children(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    runs = [await tracker.create_run(new(f"together-{number % 2}"), search_first=False) for number in range(8)]
    child = script.nested(runs[3].experiment_id, runs[3].run_id)
    calls.clear()
    await asyncio.gather(*(tracker.close_run(run.run_id, "FAILED", ENDED, tags={}) for run in runs))
    assert {script.status(run_id) for run_id in (child, *(run.run_id for run in runs))} == {"FAILED"}
    # One for the nested runs of both experiments, one for the parent that it names.
    assert calls == {"runs/search": 2, "runs/update": 9}


async def test_the_state_that_a_dying_script_wrote_is_written_over(
    mlflow_server: MLflowServer, script: Script, new: Callable[..., NewRun], registries: Callable[..., TrackerRegistry]
) -> None:
    tracker = registries(lambda _key: None)(mlflow_server.tracking)
    run = await tracker.create_run(new(), search_first=False)
    await tracker.close_run(run.run_id, "FAILED", ENDED, tags={})
    script.post("runs/update", run_id=run.run_id, status="FINISHED", end_time=7)
    await until(lambda: script.status(run.run_id) == "FAILED", "the second look")
    script.post("runs/update", run_id=run.run_id, status="RUNNING")
    await until(lambda: script.status(run.run_id) == "FAILED", "the third look")
    assert script.run(run.run_id)["info"]["end_time"] == ENDED.timestamp() * 1000
    await until(lambda: tracker.followed.next_look is None, "no more looks at a run that stays as it is")


async def test_a_run_that_is_followed_again_is_not_closed_by_a_pending_look(
    mlflow_server: MLflowServer, script: Script, new: Callable[..., NewRun], registries: Callable[..., TrackerRegistry]
) -> None:
    settings = replace(FAST, second_look_seconds=0.05)
    registry = registries(lambda _key: None, settings=settings)
    tracker = registry(mlflow_server.tracking)
    wanted = new()
    run = await tracker.create_run(wanted, search_first=False)
    await tracker.close_run(run.run_id, "FAILED", ENDED, tags={})
    tracker.follow(run.run_id, key_of(wanted))
    script.post("runs/update", run_id=run.run_id, status="RUNNING")
    poller = registry._entry(mlflow_server.tracking).poller
    rounds = poller.rounds
    await until(lambda: poller.rounds > rounds + 2, "three polls")
    assert script.status(run.run_id) == "RUNNING"


async def test_a_whole_life_takes_four_calls_one_for_tags_and_one_for_the_last_metrics(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    wanted = new()
    await tracker.create_run(new(wanted.experiment), search_first=False)  # makes the experiment, once for all its runs
    calls.clear()
    run = await tracker.create_run(wanted, search_first=False)
    await tracker.log_params(run.run_id, {"lr": "0.1", "seed": "7"})
    await tracker.upload(run, "logs/attempt-1/node-0.log", b"done\n")
    await tracker.upload(run, "trainingrun.yaml", b"kind: TrainingRun\n")
    assert await tracker.refresh(run.run_id) is not None
    await tracker.close_run(run.run_id, "FINISHED", ENDED, tags={TAG_REASON: "Completed"})
    assert calls == {
        "runs/create": 1,
        "runs/log-batch": 2,  # parameters; tags
        # The last metrics; nested runs. MLflow's filters know no OR, so one search cannot ask for both; the runs that
        # end at the same moment share them.
        "runs/search": 2,
        "runs/update": 1,
        "artifacts": 2,
    }
    assert script.status(run.run_id) == "FINISHED"
