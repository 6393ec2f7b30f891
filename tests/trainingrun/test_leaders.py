"""An old leader that is paused in the middle of a pass and wakes up after another has taken over."""

import pytest

from runwright.ports import Key, Kind
from tests.trainingrun.life import Life, end_state
from tests.trainingrun.operator_model import Process
from tests.trainingrun.test_crashes import assert_no_overlap, assert_stable, different
from tests.trainingrun.world import Behavior, World

JOB = Key("team-a", "mnist-00000003-1")


def _world() -> World:
    return World(script=lambda attempt, _: Behavior(exit_code=3 if attempt == 1 else 0))


async def succeed(number: int, *, fenced: bool, wakes: float, job_deleted: float | None = None) -> Life:
    """Pause the operator before mutating call `number`; another leads from then on; the first wakes up later."""
    world = _world()
    if job_deleted is not None:
        world.after(job_deleted, lambda: world.delete(Kind.JOB, JOB))
    world.faults[number] = "pause"
    life = Life(world)
    life.process.fenced = fenced

    async def pause() -> None:
        old = life.process
        world.watchers.remove(old)
        old.leads = old.alive = False
        life.process = Process(world)
        await life.until(world.seconds + wakes)

    world.paused = pause
    life.apply(retry={"maxFailures": 1})
    await life.settle()
    return life


async def alone() -> Life:
    life = Life(_world())
    life.apply(retry={"maxFailures": 1})
    await life.settle()
    return life


@pytest.mark.parametrize("wakes", [0.0, 10.0, 10_000.0])
async def test_an_old_leader_whose_writes_the_lease_fences_changes_nothing(wakes: float) -> None:
    calm = await alone()
    for number in range(1, len(calm.world.calls) + 1):
        life = await succeed(number, fenced=True, wakes=wakes)
        extra = [uid for uid, state in life.mlflow().items() if state == "KILLED"]
        for run_id in extra:  # runs/create has no fence; what it makes too often is found and closed
            assert calm.world.calls[number - 1] == "mlflow create"
            del life.world.mlflow.runs[run_id]
        assert different(end_state(life), end_state(calm)) == [], f"call {number}"
        assert_no_overlap(life)
        await assert_stable(life)


@pytest.mark.parametrize("wakes", [0.0, 10.0, 10_000.0])
async def test_an_old_leader_whose_request_was_under_way_does_no_lasting_harm(wakes: float) -> None:
    """The Lease cannot call back a request that was sent: it is carried out late."""
    calm = await alone()
    for number in range(1, len(calm.world.calls) + 1):
        life = await succeed(number, fenced=False, wakes=wakes)
        assert [obj["status"]["phase"] for obj in life.world.all(Kind.TRAINING_RUN)] == ["Succeeded"]
        assert life.status()["attempt"] == 2
        assert life.jobs() == []
        assert sorted(life.mlflow().values()) in (["FINISHED"], ["FINISHED", "KILLED"])
        await assert_stable(life)


async def test_a_job_of_an_old_attempt_that_is_made_late_is_ended_at_once() -> None:
    calm = await alone()
    number = calm.world.calls.index(f"create Job {JOB.name}") + 1
    life = await succeed(number, fenced=False, wakes=45, job_deleted=30)
    assert life.count(f"create Job {JOB.name}") == 2
    assert len(life.world.started) == 2  # one container for each attempt, none for the late Job
    assert (life.status()["phase"], life.status()["attempt"]) == ("Succeeded", 2)
    assert life.mlflow() == {"run1": "FINISHED"}
