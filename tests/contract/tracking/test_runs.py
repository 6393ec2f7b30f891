"""Every method of the port against a real MLflow server."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runwright.errors import RefusedError
from runwright.names import TAG_UID
from runwright.ports import NewRun, Tracker
from runwright.tracking.tracker import MLflowTracker
from tests.contract.tracking.conftest import STARTED, Connect, Script


async def test_a_run_is_made_with_its_experiment_name_start_and_tags(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    wanted = new(experiment="team-a/mnist, with spaces & Ünicode")
    port: Tracker = tracker
    run = await port.create_run(wanted, search_first=False)
    stored = script.run(run.run_id)
    assert stored["info"]["run_name"] == wanted.run_name
    assert stored["info"]["start_time"] == STARTED.timestamp() * 1000
    assert stored["info"]["status"] == run.status == "RUNNING"
    tags = {tag["key"]: tag["value"] for tag in stored["data"]["tags"]}
    assert tags.items() >= {**wanted.tags, TAG_UID: wanted.uid}.items()
    assert run.tags.items() >= {**wanted.tags, TAG_UID: wanted.uid}.items()


async def test_after_a_crash_the_run_is_found_by_its_uid_and_not_made_twice(
    tracker: MLflowTracker, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    wanted = new()
    first = await tracker.create_run(wanted, search_first=False)
    again = await tracker.create_run(wanted, search_first=True)
    assert again.run_id == first.run_id
    assert calls["runs/create"] == 1


async def test_search_first_makes_the_run_when_there_is_none(
    tracker: MLflowTracker, new: Callable[..., NewRun]
) -> None:
    wanted = new()
    made = await tracker.create_run(wanted, search_first=True)
    assert made.tags[TAG_UID] == wanted.uid


async def test_of_two_runs_with_the_same_uid_the_oldest_is_kept(
    tracker: MLflowTracker, new: Callable[..., NewRun]
) -> None:
    younger = new(start_time=STARTED + timedelta(seconds=5))
    older = NewRun(**{**{f: getattr(younger, f) for f in younger.__slots__}, "start_time": STARTED})
    await tracker.create_run(younger, search_first=False)
    oldest = await tracker.create_run(older, search_first=False)
    assert (await tracker.create_run(younger, search_first=True)).run_id == oldest.run_id


async def test_many_creators_of_one_experiment_share_it(
    tracker: MLflowTracker, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    runs = await asyncio.gather(*(tracker.create_run(new("raced"), search_first=False) for _ in range(10)))
    assert len({run.experiment_id for run in runs}) == 1
    assert calls["experiments/create"] == 1


async def test_an_experiment_that_another_client_makes_at_the_same_moment_is_used(
    tracker: MLflowTracker, script: Script
) -> None:
    made = script.experiment("made-by-another")
    await tracker.client.create_experiment("made-by-another")  # HTTP 400 RESOURCE_ALREADY_EXISTS from the server
    found = await tracker.client.experiment_by_name("made-by-another")
    assert found is not None
    assert found.experiment_id == made


async def test_a_deleted_experiment_is_named_with_its_remedy_and_works_when_restored(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    await tracker.create_run(new("to-be-deleted"), search_first=False)  # its id is remembered
    found = await tracker.client.experiment_by_name("to-be-deleted")
    assert found is not None
    script.post("experiments/delete", experiment_id=found.experiment_id)
    with pytest.raises(RefusedError, match=r"must be in the 'active' state.*mlflow experiments restore"):
        await tracker.create_run(new("to-be-deleted"), search_first=False)
    with pytest.raises(
        RefusedError, match=f"'to-be-deleted' is deleted.*restore --experiment-id {found.experiment_id}"
    ):
        await tracker.create_run(new("to-be-deleted"), search_first=False)
    script.post("experiments/restore", experiment_id=found.experiment_id)
    run = await tracker.create_run(new("to-be-deleted"), search_first=False)
    assert run.experiment_id == found.experiment_id


async def test_a_remembered_experiment_that_left_the_database_is_made_again(
    tracker: MLflowTracker, new: Callable[..., NewRun]
) -> None:
    tracker._experiments._ids["replaced"] = "987654321"
    run = await tracker.create_run(new("replaced"), search_first=False)
    assert run.experiment_id != "987654321"


async def test_more_than_a_hundred_long_params_are_logged_and_again(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    params = {f"p{number:03}": ("é" * 5000 if number % 2 else str(number)) for number in range(250)}
    await tracker.log_params(run.run_id, params)
    await tracker.log_params(run.run_id, params)
    stored = {entry["key"]: entry["value"] for entry in script.run(run.run_id)["data"]["params"]}
    assert stored == params


async def test_params_that_the_script_logged_otherwise_are_named_and_the_rest_is_logged(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    script.post("runs/log-batch", run_id=run.run_id, params=[{"key": "lr", "value": "0.001"}])
    with pytest.raises(RefusedError, match=r"lr='0\.001' \(wanted '1e-3'\); the others were logged"):
        await tracker.log_params(run.run_id, {"lr": "1e-3", "epochs": "5"})
    stored = {entry["key"]: entry["value"] for entry in script.run(run.run_id)["data"]["params"]}
    assert stored == {"lr": "0.001", "epochs": "5"}


async def test_tags_are_set_in_one_request_and_none_when_there_are_none(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    await tracker.set_tags(run.run_id, {})
    await tracker.set_tags(run.run_id, {"a": "1", "b": "zwei"})
    assert calls["runs/log-batch"] == 1
    tags = {tag["key"]: tag["value"] for tag in script.run(run.run_id)["data"]["tags"]}
    assert (tags["a"], tags["b"]) == ("1", "zwei")


async def test_nan_and_infinity_arrive_as_floats(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    script.log(run.run_id, nan="NaN", up="Infinity", down="-Infinity", zero=0)
    read = await tracker.refresh(run.run_id)
    assert read is not None
    assert math.isnan(read.metrics["nan"].value)
    assert (read.metrics["up"].value, read.metrics["down"].value) == (math.inf, -math.inf)
    assert (read.metrics["zero"].value, read.metrics["zero"].step) == (0.0, 3)
    assert read.metrics["zero"].timestamp == datetime(1970, 1, 1, 0, 0, 1, 3000, tzinfo=UTC)


async def test_latest_is_the_highest_step_and_the_history_is_in_order(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    points = [{"key": "loss", "value": step / 2, "timestamp": 1, "step": step} for step in (3, 1, 2, 0)]
    for point in points:
        script.post("runs/log-batch", run_id=run.run_id, metrics=[point])
    read = await tracker.refresh(run.run_id)
    assert read is not None
    assert (read.metrics["loss"].step, read.metrics["loss"].value) == (3, 1.5)
    history = await tracker.metric_history(run, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)]
    assert await tracker.metric_history(run, "no such metric") == []


async def test_a_history_of_several_pages_is_whole(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwright.tracking.client.HISTORY_PAGE", 10)
    run = await tracker.create_run(new(), search_first=False)
    points = [{"key": "loss", "value": step, "timestamp": step, "step": step} for step in range(35)]
    script.post("runs/log-batch", run_id=run.run_id, metrics=points)
    assert [point.step for point in await tracker.metric_history(run, "loss")] == list(range(35))


async def test_refresh_knows_deleted_and_unknown_runs(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    script.post("runs/delete", run_id=run.run_id)
    read = await tracker.refresh(run.run_id)
    assert read is not None
    assert read.deleted
    assert await tracker.refresh("f" * 32) is None


async def test_refreshes_of_the_same_moment_share_one_search(
    tracker: MLflowTracker, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    runs = [await tracker.create_run(new(f"shared-{number % 3}"), search_first=False) for number in range(12)]
    before = calls["runs/search"]
    read = await asyncio.gather(*(tracker.refresh(run.run_id) for run in runs))
    assert [one and one.run_id for one in read] == [run.run_id for run in runs]
    assert calls["runs/search"] - before == 1


async def test_runs_made_by_an_earlier_operator_are_found_without_knowing_their_experiments(
    tracker: MLflowTracker, connect: Connect, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    runs = [await tracker.create_run(new(f"earlier-{number % 2}"), search_first=False) for number in range(4)]
    successor = connect(on_request=lambda call: calls.update([call]))
    calls.clear()
    read = await asyncio.gather(*(successor.refresh(run.run_id) for run in runs))
    assert [one and one.run_id for one in read] == [run.run_id for run in runs]
    assert calls == {"experiments/search": 1, "runs/search": 1}


async def test_an_artifact_lands_where_mlflow_lists_it(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun], calls: Counter[str]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    before = calls.total()
    await tracker.upload(run, "logs/attempt-1/node-0.log", b"epoch 1\n\xff\n")
    await tracker.upload(run, "logs/attempt 2/nö%2Fde.log", b"x" * 3_000_000)
    assert calls.total() - before == 2
    listed = script.get("api/2.0/mlflow/artifacts/list", run_id=run.run_id, path="logs/attempt-1").json()
    assert listed["files"] == [{"path": "logs/attempt-1/node-0.log", "is_dir": False, "file_size": 10}]
    assert script.get("get-artifact", run_id=run.run_id, path="logs/attempt-1/node-0.log").content == b"epoch 1\n\xff\n"
    assert len(script.get("get-artifact", run_id=run.run_id, path="logs/attempt 2/nö%2Fde.log").content) == 3_000_000


async def test_an_artifact_is_stored_by_an_operator_that_did_not_make_the_run(
    tracker: MLflowTracker, connect: Connect, script: Script, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    successor = connect()
    await successor.upload(replace(run, experiment_id=""), "logs/node-0.log", b"x")
    assert script.get("get-artifact", run_id=run.run_id, path="logs/node-0.log").content == b"x"
    with pytest.raises(RefusedError, match="is gone"):
        await successor.upload(replace(run, run_id="f" * 32, experiment_id=""), "logs/node-0.log", b"x")


async def test_artifact_paths_stay_inside_the_run(tracker: MLflowTracker, new: Callable[..., NewRun]) -> None:
    run = await tracker.create_run(new(), search_first=False)
    for path in ("", "/etc/passwd", "logs/../../x", "a//b", "."):
        with pytest.raises(RefusedError, match="plain relative path"):
            await tracker.upload(run, path, b"")


async def test_artifacts_outside_the_proxy_are_refused_with_the_remedy(
    tracker: MLflowTracker, script: Script, new: Callable[..., NewRun]
) -> None:
    script.post("experiments/create", name="direct", artifact_location="s3://bucket/direct")
    run = await tracker.create_run(new("direct"), search_first=False)
    with pytest.raises(RefusedError, match=r"s3://bucket.*--serve-artifacts"):
        await tracker.upload(run, "logs/node-0.log", b"")


async def test_an_unknown_state_is_refused_here_since_the_server_ignores_it(
    tracker: MLflowTracker, new: Callable[..., NewRun]
) -> None:
    run = await tracker.create_run(new(), search_first=False)
    with pytest.raises(ValueError, match="SUCCEEDED"):
        await tracker.client.update_run(run.run_id, "SUCCEEDED", STARTED)  # type: ignore[arg-type]


async def test_a_refusal_carries_mlflows_code_and_words(tracker: MLflowTracker) -> None:
    with pytest.raises(RefusedError, match=r"runs/log-batch: RESOURCE_DOES_NOT_EXIST: Run with id=0{32} not found"):
        await tracker.set_tags("0" * 32, {"a": "b"})
    assert tracker.problem == ""
