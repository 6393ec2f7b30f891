"""Eventually stable reconciliation by exhaustion: every mutating call of a life is disturbed in every way.

The oracles are Sieve's and Anvil's: the end is that of the undisturbed life, nothing is made twice, nothing leaks,
phases only move forward, and once the end is reached not a write follows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from runwright.ports import Kind
from tests.trainingrun.life import KEY, Life, end_state
from tests.trainingrun.world import Behavior, Fault, World

Scenario = Callable[[World], Awaitable[Life]]


async def _happy(world: World) -> Life:
    life = Life(world)
    life.apply(tracking={"tags": {"team": "vision"}}, source={"inline": {"files": {"train.py": "x"}}})
    return life


async def _two_nodes(world: World) -> Life:
    life = Life(world)
    life.apply(numNodes=2)
    return life


async def _second_attempt(world: World) -> Life:
    world.script = lambda attempt, _: Behavior(exit_code=3 if attempt == 1 else 0)
    life = Life(world)
    life.apply(retry={"maxFailures": 1})
    return life


async def _fails(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(exit_code=3)
    life = Life(world)
    life.apply(retry={"maxFailures": 1})
    return life


async def _disrupted(world: World) -> Life:
    world.script = lambda attempt, _: Behavior(disrupted=attempt == 1)
    life = Life(world)
    life.apply()
    return life


async def _deleted_while_running(world: World) -> Life:
    life = Life(world)
    life.apply()
    life.at(12, life.delete)
    return life


async def _deleted_while_pending(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(stuck="Unschedulable")
    life = Life(world)
    life.apply()
    life.at(12, life.delete)
    return life


async def _deadline(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(seconds=500)
    life = Life(world)
    life.apply(activeDeadlineSeconds=30)
    return life


async def _created_again(world: World) -> Life:
    life = Life(world)
    life.apply()
    life.at(12, life.delete, life.apply)
    return life


async def _tracker_returns(world: World) -> Life:
    """The tracker is away when the training ends."""
    life = Life(world)
    life.apply()
    life.at(15, lambda: setattr(world.mlflow, "away", True))
    life.at(60, lambda: setattr(world.mlflow, "away", False))
    return life


SCENARIOS: dict[str, Scenario] = {
    f.__name__.strip("_"): f
    for f in (
        _happy,
        _two_nodes,
        _second_attempt,
        _fails,
        _disrupted,
        _deleted_while_running,
        _deleted_while_pending,
        _deadline,
        _created_again,
        _tracker_returns,
    )
}
FAULTS: tuple[Fault, ...] = ("crash-before", "crash-after", "lost-before", "lost-after")
ORDER = ["", "Pending", "Starting", "Running", "Restarting", "Succeeded", "Failed", "Cancelled"]
FOLLOWS = {
    "Pending": {"Pending", "Starting"},
    "Starting": {"Starting", "Running", "Restarting", "Succeeded", "Failed"},
    "Running": {"Running", "Restarting", "Succeeded", "Failed"},
    "Restarting": {"Restarting", "Running", "Succeeded", "Failed"},
    "Succeeded": {"Succeeded"},
    "Failed": {"Failed"},
}


async def live(scenario: Scenario, faults: dict[int, Fault]) -> Life:
    life = await scenario(World(faults=dict(faults)))
    await life.settle()
    return life


@cache
def undisturbed(name: str) -> Life:
    return asyncio.run(live(SCENARIOS[name], {}))


def check(name: str, life: Life, calm: Life) -> None:
    """The oracles."""
    assert different(end_state(life), end_state(calm)) == []
    jobs = [call for call in life.world.calls if call.startswith("create Job")]
    names = {call for call in calm.world.calls if call.startswith("create Job")}
    assert {call.rsplit("-", 1)[-1] for call in jobs} == {call.rsplit("-", 1)[-1] for call in names}
    assert "RUNNING" not in life.mlflow().values()
    for before, after in pairwise(life.world.phases):
        assert after in FOLLOWS[before] or (name == "created_again" and after == "Pending")
    assert_no_overlap(life)


def different(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two plain values differ; what people do not read twice stays readable in a failure."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [different(one.get(k), other.get(k), f"{where}.{k}") for k in sorted({*one, *other})]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        found = [different(a, b, f"{where}[{n}]") for n, (a, b) in enumerate(zip(one, other, strict=True))]
    elif where.endswith("runningSeconds"):  # a deadline is noticed late when the operator was away
        return [] if abs(one - other) <= 6 else [f"{where}: {one} != {other}"]
    else:
        return [] if one == other else [f"{where}: {one} != {other}"]
    return [line for lines in found for line in lines]


def assert_no_overlap(life: Life) -> None:
    """Never do containers of two Jobs run at the same time under one name."""
    by_job: dict[str, list[tuple[float, float]]] = {}
    for job, begin, end in life.world.started:
        by_job.setdefault(job, []).append((begin, end))
    spans = sorted((min(b for b, _ in s), max(e for _, e in s)) for s in by_job.values())
    for (_, end), (begin, _) in pairwise(spans):
        assert end <= begin


async def assert_stable(life: Life) -> None:
    """Another pass of a fresh operator writes nothing."""
    before = len(life.world.calls)
    life.restart()
    life.process.queue.add(KEY)
    await life.settle()
    assert life.world.calls[before:] == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_call_of_a_life_may_fail(name: str, fault: Fault) -> None:
    calm = await asyncio.to_thread(undisturbed, name)
    assert "RUNNING" not in calm.mlflow().values()
    wrong = []
    for number, call in enumerate(calm.world.calls, start=1):
        life = await live(SCENARIOS[name], {number: fault})
        try:
            check(name, life, calm)
            await assert_stable(life)
        except AssertionError as error:
            wrong.append(f"{fault} at call {number} ({call}): {str(error)[:700]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["happy", "deadline"])
async def test_crashing_twice_in_a_row_changes_nothing_either(name: str) -> None:
    calm = await asyncio.to_thread(undisturbed, name)
    for number in range(1, len(calm.world.calls) + 1):
        life = await live(SCENARIOS[name], {number: "crash-after", number + 1: "crash-before"})
        check(name, life, calm)
        assert life.crashes == 2 or number == len(calm.world.calls)


async def test_the_undisturbed_lives_end_as_they_should() -> None:
    ends = {name: await asyncio.to_thread(undisturbed, name) for name in SCENARIOS}
    phases = {n: [r["status"]["phase"] for r in life.world.all(Kind.TRAINING_RUN)] for n, life in ends.items()}
    assert phases == {
        "happy": ["Succeeded"],
        "two_nodes": ["Succeeded"],
        "second_attempt": ["Succeeded"],
        "fails": ["Failed"],
        "disrupted": ["Succeeded"],
        "deleted_while_running": [],
        "deleted_while_pending": [],
        "deadline": ["Failed"],
        "created_again": ["Succeeded"],
        "tracker_returns": ["Succeeded"],
    }
    assert {n: sorted(life.mlflow().values()) for n, life in ends.items()} == {
        "happy": ["FINISHED"],
        "two_nodes": ["FINISHED"],
        "second_attempt": ["FINISHED"],
        "fails": ["FAILED"],
        "disrupted": ["FINISHED"],
        "deleted_while_running": ["KILLED"],
        "deleted_while_pending": ["KILLED"],
        "deadline": ["FAILED"],
        "created_again": ["FINISHED", "KILLED"],
        "tracker_returns": ["FINISHED"],
    }
