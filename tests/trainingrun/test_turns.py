"""What users see when they, a queue, a node or a clock interfere with a run, over the model world (see `world`)."""

from functools import partial
from typing import Any

import pytest

from runwright.ports import Key, Kind
from tests.trainingrun.life import KEY, Life
from tests.trainingrun.world import Behavior, World


def world(behavior: Behavior, **settings: Any) -> World:
    return World(script=lambda _attempt, _index: behavior, **settings)


# ---------------------------------------------------------------------------------------------------- suspend


async def test_a_suspended_run_holds_no_pod_and_goes_on_as_another_attempt() -> None:
    life = Life(world(Behavior(seconds=40)))
    life.apply(activeDeadlineSeconds=60)
    life.at(12, partial(life.change, suspend=True))
    await life.until(100)
    assert life.status()["phase"] == "Suspended"
    assert (life.jobs(), life.pods()) == ([], [])
    assert life.condition("Suspended") == ("True", "Suspended", "spec.suspend is true")
    assert life.condition("Ready") == ("True", "Suspended", "")
    life.change(suspend=False)
    await life.settle()
    status = life.status()
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2)
    assert (status.get("failures", 0), status.get("disruptions", 0)) == (0, 0)
    assert [(a["outcome"], a.get("countsAs")) for a in status["attempts"]] == [("Suspended", None), ("Succeeded", None)]
    assert status["runningSeconds"] == sum(a["runningSeconds"] for a in status["attempts"]) < 60
    suspended = life.condition("Suspended")
    assert suspended is not None
    assert suspended[:2] == ("False", "Resumed")
    assert list(life.mlflow()) == ["run1"]
    assert life.world.events == ["RunCreated", "Running", "Suspended", "Resumed", "Running", "Succeeded"]


async def test_suspended_time_does_not_count_for_the_deadline_but_running_time_before_does() -> None:
    life = Life(world(Behavior(seconds=500)))
    life.apply(activeDeadlineSeconds=50)
    life.at(24, partial(life.change, suspend=True))
    life.at(1000, partial(life.change, suspend=False))
    await life.settle()
    assert life.status()["failure"]["reason"] == "DeadlineExceeded"
    assert [a["runningSeconds"] for a in life.status()["attempts"]] == [23, 27]


async def test_a_run_that_is_suspended_from_the_start_makes_nothing() -> None:
    life = Life()
    life.apply(suspend=True)
    await life.until(60)
    assert life.world.calls == ["status team-a/mnist Suspended"]


async def test_pods_that_end_slowly_are_waited_for() -> None:
    life = Life(World(script=lambda _attempt, _index: Behavior(seconds=60), grace=30))
    life.apply()
    life.at(12, partial(life.change, suspend=True))
    life.at(14, partial(life.change, suspend=False))
    await life.settle()
    (_, _, first_end), (_, second_begin, _) = life.world.started
    assert second_begin > first_end


async def test_what_ends_with_0_while_it_is_suspended_has_not_succeeded() -> None:
    """A script that writes a checkpoint at SIGTERM and exits with 0."""
    life = Life(World(script=lambda attempt, _: Behavior(seconds=500 if attempt == 1 else 20, sigterm_code=0)))
    life.apply()
    life.at(12, partial(life.change, suspend=True))
    life.at(40, partial(life.change, suspend=False))
    await life.settle()
    assert [a["outcome"] for a in life.status()["attempts"]] == ["Suspended", "Succeeded"]


# ---------------------------------------------------------------------------------------------------- stop


async def test_finishing_raises_the_stop_file_and_lets_the_code_end() -> None:
    life = Life(world(Behavior(seconds=500, obeys=True)))
    life.apply(numNodes=2)
    life.at(12, partial(life.change, stop={"mode": "Finish", "reason": "good enough"}))
    await life.until(14)
    assert life.condition("Running") == ("True", "Stopping", "good enough")
    assert [p["metadata"]["annotations"]["runwright.dev/stop"] for p in life.pods()] == ["good enough"] * 2
    await life.settle()
    assert life.status()["phase"] == "Succeeded"
    assert life.condition("Complete") == ("True", "Stopped", "good enough")
    assert life.status()["stop"]["reason"] == "Requested"
    assert life.mlflow() == {"run1": "FINISHED"}
    assert life.world.mlflow.runs["run1"].run.tags["runwright.stopped"] == "good enough"
    assert life.count("patch Pod") == 2


async def test_code_that_does_not_end_by_itself_is_ended_in_time() -> None:
    life = Life(world(Behavior(seconds=500)))
    life.apply()
    life.at(12, partial(life.change, stop={"mode": "Finish", "timeoutSeconds": 30}))
    await life.until(41)
    assert life.status()["phase"] == "Running"
    await life.settle()
    assert life.status()["phase"] == "Succeeded"
    assert life.status()["attempts"][0]["outcome"] == "Stopped"
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_code_that_fails_while_it_finishes_is_not_tried_again() -> None:
    life = Life(world(Behavior(seconds=20, exit_code=3)))
    life.apply(retry={"maxFailures": 5})
    life.at(12, partial(life.change, stop={"mode": "Finish"}))
    await life.settle()
    assert (life.status()["phase"], life.status()["attempt"]) == ("Failed", 1)


async def test_cancelling_kills() -> None:
    life = Life(world(Behavior(seconds=500)))
    life.apply()
    life.at(12, partial(life.change, stop={"mode": "Cancel", "reason": "wrong data"}))
    await life.settle()
    assert life.status()["phase"] == "Cancelled"
    assert life.condition("Failed") == ("True", "Cancelled", "wrong data")
    assert life.condition("Stalled") == ("True", "Cancelled", "wrong data")
    assert life.mlflow() == {"run1": "KILLED"}
    assert life.world.mlflow.runs["run1"].run.tags["runwright.reason"] == "Cancelled"
    assert (life.status().get("failures", 0), life.jobs()) == (0, [])


@pytest.mark.parametrize(("mode", "phase"), [("Cancel", "Cancelled"), ("Finish", "Cancelled")])
async def test_a_run_that_never_ran_is_cancelled_either_way(mode: str, phase: str) -> None:
    life = Life(world(Behavior(stuck="Unschedulable")))
    life.apply()
    life.at(12, partial(life.change, stop={"mode": mode}))
    await life.settle()
    assert life.status()["phase"] == phase
    assert list(life.mlflow().values()) == ["KILLED"]
    assert life.pods() == []


async def test_a_stop_before_there_is_a_tracker_leaves_nothing_behind() -> None:
    life = Life(stack=False)
    life.apply()
    life.at(12, partial(life.change, stop={"mode": "Cancel"}))
    await life.settle()
    assert life.status()["phase"] == "Cancelled"
    assert life.mlflow() == {}


async def test_early_stopping_finishes_by_the_whole_history() -> None:
    life = Life(world(Behavior(seconds=1000, epochs=19, obeys=True)))
    life.apply(earlyStopping={"threshold": "0.95"})
    await life.settle()
    status = life.status()
    assert (status["phase"], status["stop"]["reason"]) == ("Succeeded", "EarlyStopping")
    assert life.condition("Complete") == (
        "True",
        "EarlyStopping",
        "accuracy is 0.95 at step 5: the threshold 0.95 is reached",
    )
    assert life.world.mlflow.runs["run1"].run.tags["runwright.stopped"].startswith("accuracy is 0.95")


# ---------------------------------------------------------------------------------------------------- queues


async def test_a_job_in_a_queue_says_why_and_its_suspend_is_never_ours() -> None:
    life = Life()
    life.apply(queue="team")
    await life.until(5)
    (job,) = life.jobs()
    workload = {
        "metadata": {
            "name": "w",
            "namespace": "team-a",
            "labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]},
        },
        "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": "no quota for 1 GPU"}]},
    }
    life.world.create(Kind.WORKLOAD, workload)
    await life.until(60)
    assert life.status()["phase"] == "Queued"
    assert life.condition("Running") == ("False", "Queued", "no quota for 1 GPU")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert life.world.events == ["RunCreated", "Queued"]
    life.world.suspend(suspended=False)
    await life.settle()
    assert life.status()["phase"] == "Succeeded"
    assert life.count("create Job") == 1


async def test_a_preemption_is_a_disruption_of_the_same_attempt() -> None:
    life = Life(world(Behavior(seconds=30)))
    life.apply(queue="team", retry={"maxDisruptions": 2})
    life.at(2, partial(life.world.suspend, suspended=False))
    life.at(15, partial(life.world.suspend, suspended=True))
    await life.until(40)
    status = life.status()
    assert (status["phase"], status["disruptions"], status["attempt"]) == ("Queued", 1, 1)
    assert status["runningSeconds"] == status["attempts"][0]["runningSeconds"] > 0
    life.world.suspend(suspended=False)
    await life.settle()
    status = life.status()
    assert (status["phase"], status["disruptions"], status["attempt"]) == ("Succeeded", 1, 1)
    (story,) = status["attempts"]
    assert (story["preemptions"], story["outcome"]) == (1, "Succeeded")
    assert status["runningSeconds"] == story["runningSeconds"]
    assert "suspendTime" not in story
    assert life.count("create Job") == 1


async def test_too_many_preemptions_end_the_run() -> None:
    life = Life(world(Behavior(seconds=500)))
    life.apply(queue="team", retry={"maxDisruptions": 1})
    for second in (2, 32):
        life.at(second, partial(life.world.suspend, suspended=False))
        life.at(second + 15, partial(life.world.suspend, suspended=True))
    await life.settle()
    assert (life.status()["phase"], life.status()["disruptions"]) == ("Failed", 2)
    assert life.condition("Failed") is not None
    assert life.status()["failure"]["reason"] == "Preempted"
    assert life.jobs() == []


# ---------------------------------------------------------------------------------------------------- nodes


async def test_two_gangs_that_hold_half_the_nodes_each_both_finish() -> None:
    """The other two pods of each find no room: each waits for the other."""
    other = Key("team-a", "other")
    life = Life(World(script=lambda _attempt, _index: Behavior(seconds=30), places=2))
    life.apply(numNodes=2, gangTimeoutSeconds=20)
    life.apply(other, numNodes=2, gangTimeoutSeconds=20)
    pods = life.world.objects  # one pod of each is to have the two places
    await life.until(0.9)
    first = [key for (kind, key) in pods if kind is Kind.POD and key.name.endswith("-0-x")]
    assert (len(first), len(life.pods())) == (2, 4)
    life.world.places = 0
    await life.until(1.5)
    life.world.places = 2
    for key in first:
        life.world.place_now(key)
    await life.until(10)
    running = {p["metadata"]["name"] for p in life.pods() if p["status"]["phase"] == "Running"}
    assert running == {key.name for key in first}
    await life.settle()
    assert [life.status(key)["phase"] for key in (KEY, other)] == ["Succeeded"] * 2
    split = [a for key in (KEY, other) for a in life.status(key)["attempts"] if a["reason"] == "PartiallyScheduled"]
    assert split
    assert {a["countsAs"] for a in split} == {"Disruption"}
    assert "found a place, the others did not" in life.world_said("PartiallyScheduled")


async def test_a_lost_node_is_told_with_its_remedy_and_its_place_kept() -> None:
    life = Life(World(script=lambda attempt, index: Behavior(lost=attempt == 1 and index == 1)))
    life.apply(numNodes=2, retry={"nodeLostTimeoutSeconds": 20})
    await life.until(150)
    assert life.status()["phase"] == "Restarting"
    told = life.condition("Running")
    assert told is not None
    assert told[1] == "NodeLost"
    assert "kubectl taint node n1 node.kubernetes.io/out-of-service" in told[2]
    assert life.count("create Job") == 1  # its pod may still run
    life.world.remove_lost_nodes()
    await life.settle()
    status = life.status()
    assert (status["phase"], status["disruptions"], status["attempts"][0]["reason"]) == ("Succeeded", 1, "NodeLost")


async def test_the_next_attempt_avoids_the_node_that_failed_the_last_one() -> None:
    life = Life(World(script=lambda attempt, _: Behavior(exit_code=3 if attempt == 1 else 0), places=1))
    life.apply(retry={"maxFailures": 1})
    await life.until(60)
    spec = life.pods()[-1]["spec"]["affinity"]["nodeAffinity"]
    (preferred,) = spec["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchFields"] == [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]


# ---------------------------------------------------------------------------------------------------- clocks


async def test_a_run_that_nobody_places_fails_in_time() -> None:
    life = Life(world(Behavior(stuck="Unschedulable")))
    life.apply(pendingDeadlineSeconds=60)
    await life.until(59)
    assert life.status()["phase"] == "Starting"
    await life.settle()
    assert life.status()["phase"] == "Failed"
    assert life.condition("Failed") == (
        "True",
        "PendingDeadlineExceeded",
        "the run waited longer than pendingDeadlineSeconds: 60",
    )
    assert (life.jobs(), life.mlflow()) == ([], {"run1": "FAILED"})


async def test_a_run_without_a_tracker_fails_in_time_too() -> None:
    life = Life(stack=False)
    life.apply(pendingDeadlineSeconds=60)
    await life.settle()
    assert (life.status()["phase"], life.status().get("attempt", 0)) == ("Failed", 0)


@pytest.mark.parametrize("action", ["Event", "Restart", "Fail"])
async def test_a_run_that_logs_nothing_any_more(action: str) -> None:
    life = Life(World(script=lambda attempt, _: Behavior(seconds=500 if attempt == 1 else 20, epochs=0)))
    life.apply(inactivity={"timeoutSeconds": 60, "action": action}, retry={"maxFailures": 1})
    await life.until(55)
    assert life.condition("Running") == ("True", "PodsReady", "")
    await life.until(100)
    told = "no new metric or step and no log line for 60 s (inactivity.timeoutSeconds)"
    if action == "Event":
        assert life.condition("Running") == ("True", "NoProgress", told)
        assert life.world.events.count("NoProgress") == 1
    await life.settle()
    status = life.status()
    stories = [(a["outcome"], a["reason"]) for a in status["attempts"]]
    assert (
        stories
        == {
            "Event": [("Succeeded", "Succeeded")],
            "Restart": [("Failed", "NoProgress"), ("Succeeded", "Succeeded")],
            "Fail": [("Failed", "NoProgress")],
        }[action]
    )
    assert status["phase"] == ("Failed" if action == "Fail" else "Succeeded")


async def test_a_run_that_still_prints_is_left_alone() -> None:
    life = Life(world(Behavior(seconds=300, epochs=0)))
    life.apply(inactivity={"timeoutSeconds": 60, "action": "Fail"})
    for second in range(0, 300, 50):
        life.at(second, life.print_lines)
    await life.settle()
    assert life.status()["phase"] == "Succeeded"


async def test_silence_while_the_tracker_is_away_is_nobodys_fault() -> None:
    life = Life(world(Behavior(seconds=400, epochs=0)))
    life.apply(inactivity={"timeoutSeconds": 60, "action": "Fail"})
    life.at(30, partial(setattr, life.world.mlflow, "away", True))
    await life.until(300)
    assert life.status()["phase"] == "Running"


# ---------------------------------------------------------------------------------------------------- checkpoints


async def test_a_checkpoint_that_is_logged_is_told() -> None:
    life = Life(world(Behavior(seconds=60, epochs=0)))
    life.apply(checkpoint={"size": "1Gi"})
    life.at(20, lambda: life.world.mlflow.log("run1", {"checkpoint": 1.0}, 400, life.world.now))
    await life.settle()
    assert life.status()["checkpoint"] == {"step": 400, "time": "2026-01-01T00:00:20Z"}
    (claim,) = life.world.all(Kind.VOLUME_CLAIM)
    assert claim["metadata"]["name"] == "mnist-00000003-checkpoints"
    life.delete()
    await life.settle()
    assert life.world.all(Kind.VOLUME_CLAIM) == []


# ---------------------------------------------------------------------------------------------------- repetition


async def test_what_is_recorded_is_not_trained_again() -> None:
    life = Life()
    life.apply(rerunPolicy="IfNotRecorded")
    await life.until(60)
    life.delete()
    await life.settle()
    life.apply(rerunPolicy="IfNotRecorded")
    await life.settle()
    status = life.status()
    assert (status["phase"], status.get("attempt", 0), status["tracking"]["runId"]) == ("Succeeded", 0, "run1")
    assert life.condition("Complete") == (
        "True",
        "AlreadyRecorded",
        "MLflow run run1 has trained this already (rerunPolicy: IfNotRecorded)",
    )
    assert status["objective"]["value"] == "0.92"
    assert life.count("create Job") == 1
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_another_training_or_one_that_failed_is_no_record() -> None:
    life = Life(World(script=lambda _attempt, _index: Behavior(exit_code=3)))
    life.apply(rerunPolicy="IfNotRecorded")
    await life.until(60)
    life.delete()
    await life.settle()
    life.world.script = lambda _attempt, _index: Behavior()
    life.apply(rerunPolicy="IfNotRecorded")
    await life.settle()
    life.delete()
    await life.settle()
    life.apply(rerunPolicy="IfNotRecorded", parameters={"lr": "0.2"})
    await life.settle()
    assert life.count("create Job") == 3
    assert life.status()["tracking"]["runId"] == "run3"


async def test_without_the_tracker_nobody_knows_whether_it_is_recorded() -> None:
    life = Life()
    life.world.mlflow.away = True
    life.apply(rerunPolicy="IfNotRecorded")
    await life.until(60)
    assert life.status()["phase"] == "Pending"
    life.world.mlflow.away = False
    await life.settle()
    assert life.status()["phase"] == "Succeeded"


async def test_a_run_with_a_time_to_live_goes_and_its_record_stays() -> None:
    life = Life()
    life.apply(ttlSecondsAfterFinished=100)
    await life.until(110)
    assert life.status()["phase"] == "Succeeded"
    await life.settle()
    assert (Kind.TRAINING_RUN, KEY) not in life.world.objects
    assert (life.jobs(), life.mlflow()) == ([], {"run1": "FINISHED"})


async def test_a_run_whose_record_is_not_closed_yet_stays() -> None:
    life = Life()
    life.apply(ttlSecondsAfterFinished=0)
    life.at(15, partial(setattr, life.world.mlflow, "away", True))
    await life.until(300)
    assert life.status()["phase"] == "Succeeded"
    life.world.mlflow.away = False
    await life.settle()
    assert (Kind.TRAINING_RUN, KEY) not in life.world.objects
    assert life.mlflow() == {"run1": "FINISHED"}


async def test_a_run_of_another_manager_is_not_touched() -> None:
    life = Life()
    life.apply(managedBy="kueue.x-k8s.io/multikueue", stop={"mode": "Cancel"})
    await life.settle()
    assert life.world.calls == []
    assert life.status() == {}
