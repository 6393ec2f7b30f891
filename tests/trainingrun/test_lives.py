"""What users see in situations of a run's life, over the model world (see `world`)."""

import math
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from runwright.ports import Key, Kind
from tests.trainingrun.life import KEY, Life
from tests.trainingrun.operator_model import OPTIONS
from tests.trainingrun.world import Behavior, World


def world(behavior: Behavior, **settings: Any) -> World:
    return World(script=lambda _attempt, _index: behavior, **settings)


# ---------------------------------------------------------------------------------------------------- budgets


async def test_writes_of_a_whole_life_are_counted() -> None:
    life = Life(world(Behavior(epochs=0)))
    life.apply()
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"
    assert life.world.calls == [
        "status team-a/mnist Pending",
        "mlflow create",
        "status team-a/mnist Starting",
        "create Job mnist-00000003-1",
        "mlflow params",
        "status team-a/mnist Running",
        "mlflow upload",
        "mlflow upload",
        "mlflow close",
        "status team-a/mnist Succeeded",
    ]
    assert life.world.reads == ["refresh"]
    assert life.world.events == ["RunCreated", "Running", "Succeeded"]


async def test_code_and_several_nodes_cost_one_write_each() -> None:
    life = Life(world(Behavior(epochs=0)))
    life.apply(numNodes=2, source={"inline": {"files": {"train.py": "x"}}})
    await life.until(300)
    created = [call.split()[1] for call in life.world.calls if call.startswith("create")]
    assert created == ["ConfigMap", "Service", "Job"]
    assert life.count("status") == 4


async def test_without_tracking_three_status_writes_do() -> None:
    life = Life(world(Behavior(epochs=0)), options=replace(OPTIONS, tracking=False))
    life.apply()
    await life.until(300)
    assert life.world.phases == ["Starting", "Running", "Succeeded"]
    assert len(life.world.calls) == 4
    assert life.condition("TrackingAvailable") is None
    assert life.status()["progress"] == {"percentage": 100}


async def test_applying_the_status_again_and_again_writes_nothing() -> None:
    life = Life(world(Behavior(seconds=1000, epochs=1)))
    life.apply()
    await life.until(600)
    before = len(life.world.calls)
    for _ in range(5):
        life.world.seconds += 7
        life.process.queue.add(KEY)
        await life.step()
    assert life.world.calls[before:] == []


# ---------------------------------------------------------------------------------------------------- metrics


async def test_metrics_are_written_every_five_seconds_at_most() -> None:
    life = Life(world(Behavior(seconds=60, epochs=59)))
    life.apply(parameters={"epochs": "59"})
    moments = []
    for second in range(60):
        await life.until(float(second))
        shown = life.status().get("metrics", ())
        moments.append(next((m["step"] for m in shown if m["name"] == "epoch"), 0))
    changes = [n for n, (a, b) in enumerate(pairwise(moments)) if a != b]
    assert len(changes) >= 8
    assert all(later - earlier >= 5 for earlier, later in pairwise(changes))


async def test_the_last_metrics_of_a_run_are_in_its_status() -> None:
    life = Life(world(Behavior(seconds=60, epochs=59)))
    life.apply(parameters={"epochs": "59"})
    await life.until(200)
    assert life.status()["objective"] == {
        "metric": "accuracy",
        "value": "1.49",
        "step": 59,
        "best": "1.49",
        "bestStep": 59,
    }
    assert life.status()["progress"] == {"percentage": 100, "step": 59, "totalSteps": 59}


async def test_the_best_value_comes_from_the_whole_history_and_is_never_nan() -> None:
    life = Life(world(Behavior(seconds=20, epochs=0)))
    life.apply()
    for second, value in ((5, 0.7), (5.1, 0.9), (5.2, math.nan), (5.3, 0.8)):
        step = int(second * 10)
        when = life.world.now + timedelta(seconds=second)
        life.at(second, partial(life.world.mlflow.log, "run1", {"accuracy": value}, step, when))
    await life.until(200)
    assert life.status()["objective"] == {
        "metric": "accuracy",
        "value": "0.8",
        "step": 53,
        "best": "0.9",
        "bestStep": 51,
    }


# ---------------------------------------------------------------------------------------------------- waiting


async def test_an_image_that_cannot_be_pulled_is_shown_without_flapping() -> None:
    life = Life(world(Behavior(stuck="Image")))
    life.apply()
    await life.until(120)
    assert life.status()["phase"] == "Starting"
    assert life.condition("Running") == (
        "False",
        "ImagePullBackOff",
        "node 0: the image cannot be pulled; check spec.image and spec.imagePullSecrets",
    )
    assert life.count("status") == 3
    assert life.world.events == ["RunCreated", "ImagePullBackOff"]


async def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    life = Life(world(Behavior(stuck="Unschedulable")))
    life.apply()
    await life.until(60)
    message = "node 0: 0/1 nodes are available: 1 Insufficient cpu."
    assert life.condition("Running") == ("False", "Unschedulable", message)
    assert life.condition("Ready") == ("False", "Starting", message)


async def test_a_quota_that_refuses_the_job_is_waited_for() -> None:
    refusals = {Kind.JOB: 'jobs.batch "x" is forbidden: exceeded quota: team'}
    life = Life(World(refuse=lambda kind, _obj: refusals.get(kind, "")))
    life.apply()
    await life.until(100)
    assert life.status()["phase"] == "Starting"
    assert life.condition("Running") == (
        "False",
        "WaitingForQuota",
        'jobs.batch "x" is forbidden: exceeded quota: team',
    )
    assert life.count("status") == 3
    refusals.clear()
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"


async def test_a_name_that_belongs_to_somebody_else_is_said_and_waited_for() -> None:
    life = Life()
    uid = life.apply()
    name = f"mnist-{uid[:8]}-1"
    life.world.create(Kind.JOB, {"metadata": {"name": name, "namespace": "team-a"}, "spec": {"completions": 0}})
    await life.until(100)
    condition = life.condition("Running")
    assert condition is not None
    assert condition[:2] == ("False", "NameConflict")
    assert condition[2] == f"Job {name} exists and is not this run's; delete or rename it, or rename the run"
    life.world.delete(Kind.JOB, Key("team-a", name))
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"


async def test_code_in_a_config_map_that_comes_later_is_waited_for() -> None:
    life = Life()
    life.apply(source={"configMap": {"name": "code"}})
    await life.until(30)
    assert life.condition("Running") == (
        "False",
        "SourceNotFound",
        "spec.source.configMap.name: there is no ConfigMap code in namespace team-a; create it",
    )
    assert life.pods() == []
    meta = {"name": "code", "namespace": "team-a"}
    life.world.create(Kind.CONFIG_MAP, {"metadata": meta, "data": {"train.py": "print()"}})
    await life.until(200)
    assert life.status()["phase"] == "Succeeded"


async def test_a_second_attempt_runs_the_code_of_the_first() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(exit_code=1 if attempt == 1 else 0)))
    meta = {"name": "code", "namespace": "team-a"}
    life.world.create(Kind.CONFIG_MAP, {"metadata": meta, "data": {"train.py": "old"}})
    life.apply(source={"configMap": {"name": "code"}}, retry={"maxFailures": 1})
    await life.until(12)
    life.world.delete(Kind.CONFIG_MAP, Key("team-a", "code"))
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"
    assert [obj["data"] for obj in life.world.all(Kind.CONFIG_MAP)] == [{"train.py": "old"}]


async def test_no_stack_is_said_until_there_is_one() -> None:
    life = Life(stack=False)
    life.apply()
    await life.until(30)
    assert life.status()["phase"] == "Pending"
    condition = life.condition("TrackingAvailable")
    assert condition is not None
    assert condition[:2] == ("False", "StackNotFound")
    assert life.count("status") == 1
    life.add_stack()
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"


# ---------------------------------------------------------------------------------------------------- failures


async def test_an_exit_code_is_told_with_pod_node_and_last_lines() -> None:
    life = Life(world(Behavior(exit_code=3)))
    life.apply()
    await life.until(200)
    status = life.status()
    assert status["phase"] == "Failed"
    assert status["failures"] == 1
    assert status["failure"] == {
        "reason": "AppFailed",
        "message": "node 0 (pod mnist-00000003-1-0-x) exited with code 3",
        "exitCode": 3,
        "pod": "mnist-00000003-1-0-x",
        "logTail": "epoch 1\nepoch 2\n",
    }
    assert life.condition("Failed") == (
        "True",
        "AppFailed",
        "attempt 1: node 0 (pod mnist-00000003-1-0-x) exited with code 3",
    )
    assert life.mlflow() == {"run1": "FAILED"}
    assert life.world.mlflow.runs["run1"].run.tags["runwright.reason"] == "AppFailed"


async def test_out_of_memory_is_told_with_its_remedy() -> None:
    life = Life(world(Behavior(exit_code=137, reason="OOMKilled")))
    life.apply()
    await life.until(200)
    assert life.status()["failure"]["reason"] == "OOMKilled"
    assert "raise resourcesPerNode.memory" in life.status()["failure"]["message"]


async def test_log_lines_stay_out_of_the_status_where_the_administrator_says_so() -> None:
    life = Life(world(Behavior(exit_code=3)), options=replace(OPTIONS, log_tail=False))
    life.apply()
    await life.until(200)
    assert "logTail" not in life.status()["failure"]


@pytest.mark.parametrize("late", [Kind.POD, Kind.JOB, Kind.TRAINING_RUN])
async def test_the_order_in_which_watches_tell_changes_nothing(late: Kind) -> None:
    life = Life(world(Behavior(exit_code=3)), lag={late: 3.0})
    life.apply()
    await life.until(300)
    assert life.status()["phase"] == "Failed"
    assert life.status()["failure"]["exitCode"] == 3
    assert life.count("create Job") == 1
    assert life.count("mlflow create") == 1


async def test_the_first_node_that_failed_is_blamed_not_those_ended_because_of_it() -> None:
    life = Life(World(script=lambda _, index: Behavior(seconds=10 if index == 1 else 60, exit_code=index * 5)))
    life.apply(numNodes=2)
    await life.until(300)
    assert life.status()["failure"]["exitCode"] == 5
    assert life.status()["failure"]["pod"].endswith("-1-x")
    assert life.status()["failures"] == 1


async def test_a_failure_is_tried_again_under_the_same_mlflow_run() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(exit_code=1 if attempt == 1 else 0)))
    life.apply(retry={"maxFailures": 1, "backoffSeconds": 30})
    await life.until(35)
    assert life.status()["phase"] == "Restarting"
    assert life.status()["nextAttemptTime"]
    await life.settle()
    status = life.status()
    assert (status["phase"], status["attempt"], status["failures"]) == ("Succeeded", 2, 1)
    assert [a["outcome"] for a in status["attempts"]] == ["Failed", "Succeeded"]
    assert "failure" not in status
    assert "nextAttemptTime" not in status
    assert status["runningSeconds"] == sum(a["runningSeconds"] for a in status["attempts"])
    assert life.mlflow() == {"run1": "FINISHED"}
    assert life.world.mlflow.runs["run1"].run.tags["runwright.attempt"] == "2"
    begins = sorted(begin for _, begin, _ in life.world.started)
    assert begins[1] - begins[0] >= 20 + 30
    assert set(life.world.mlflow.runs["run1"].artifacts) == {
        "logs/attempt-1/node-0.log",
        "logs/attempt-2/node-0.log",
        "trainingrun.yaml",
    }


async def test_a_drained_node_costs_a_disruption_not_a_failure() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(disrupted=attempt == 1)))
    life.apply()
    await life.until(300)
    status = life.status()
    assert (status["phase"], status["failures"], status["disruptions"]) == ("Succeeded", 0, 1)
    assert status["attempts"][0]["countsAs"] == "Disruption"


async def test_a_job_that_somebody_deletes_is_a_disruption() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(seconds=60 if attempt == 1 else 10), grace=20))
    life.apply()
    life.at(15, lambda: life.world.delete(Kind.JOB, Key("team-a", "mnist-00000003-1")))
    await life.until(18)
    assert life.status()["failure"]["reason"] == "JobDeleted"
    await life.until(300)
    assert (life.status()["phase"], life.status()["disruptions"]) == ("Succeeded", 1)
    (_, _, first_end), (_, second_begin, _) = life.world.started
    assert first_end <= second_begin


async def test_a_job_deleted_before_it_ran_is_made_again_when_its_pods_are_gone() -> None:
    life = Life(World(script=lambda _, __: Behavior(stuck="Unschedulable"), grace=20))
    life.apply()
    life.at(5, lambda: life.world.delete(Kind.JOB, Key("team-a", "mnist-00000003-1")))
    await life.until(15)
    assert life.jobs() == []
    await life.until(100)
    assert len(life.pods()) == 1
    assert life.count("create Job") == 2
    assert life.status()["attempt"] == 1


async def test_a_deletion_that_is_told_late_makes_no_second_job() -> None:
    # The Job's end is seen before its owner's: their watches do not wait for each other.
    life = Life(world(Behavior(seconds=0.5, epochs=0)), lag={Kind.POD: 3.0, Kind.TRAINING_RUN: 0.5})
    life.apply()
    life.at(1, life.delete)
    await life.settle()
    assert life.count("create Job") == 1
    assert list(life.mlflow().values()) == ["KILLED"]


async def test_the_deadline_counts_running_time_only() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(seconds=20, exit_code=1) if attempt == 1 else Behavior(500)))
    life.apply(activeDeadlineSeconds=50, retry={"maxFailures": 1, "backoffSeconds": 300})
    await life.settle()
    status = life.status()
    assert status["failure"]["reason"] == "DeadlineExceeded"
    assert [a["runningSeconds"] for a in status["attempts"]] == [20, 30]
    assert life.mlflow() == {"run1": "FAILED"}
    assert life.jobs() == []


async def test_jobs_go_after_their_time_and_the_run_stays() -> None:
    life = Life()
    life.apply(podsTTLSecondsAfterFinished=100)
    await life.until(110)
    assert (len(life.jobs()), len(life.pods())) == (1, 1)
    await life.until(130)
    assert (len(life.jobs()), len(life.pods())) == (0, 0)
    assert life.status()["phase"] == "Succeeded"
    assert life.mlflow() == {"run1": "FINISHED"}
