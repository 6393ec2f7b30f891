"""Eventually stable reconciliation by exhaustion: every mutating call of a life is disturbed in every way.

The oracles are Sieve's and Anvil's: the end is that of the undisturbed life, nothing is made twice, nothing leaks,
phases only move forward, and once the end is reached not a write follows.
"""

import asyncio
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from runwright.ports import Kind
from tests.trainingrun.life import KEY, Life, end_state
from tests.trainingrun.scenarios import SCENARIOS, Scenario
from tests.trainingrun.world import Fault, World

pytestmark = pytest.mark.slow

FAULTS: tuple[Fault, ...] = ("crash-before", "crash-after", "lost-before", "lost-after")
ENDS = {"Succeeded", "Failed", "Cancelled"}
FOLLOWS = {
    "Pending": {"Pending", "Starting", "Suspended"} | ENDS,
    "Starting": {"Starting", "Running", "Restarting", "Queued", "Suspended"} | ENDS,
    "Queued": {"Queued", "Starting", "Running", "Restarting", "Suspended"} | ENDS,
    "Running": {"Running", "Restarting", "Queued", "Suspended"} | ENDS,
    "Restarting": {"Restarting", "Running", "Queued", "Suspended"} | ENDS,
    "Suspended": {"Suspended", "Pending", "Restarting"} | ENDS,
    **{end: {end} for end in ENDS},
}


async def live(scenario: Scenario, faults: dict[int, Fault]) -> Life:
    life = await scenario(World(faults=dict(faults)))
    await life.settle()
    return life


@cache
def undisturbed(name: str) -> Life:
    return asyncio.run(live(SCENARIOS[name], {}))


AGAIN = {"created_again", "recorded"}
"""Lives of two TrainingRuns."""


LOGS_MAY_GO = {"suspended", "cancelled", "half_a_gang", "node_lost", "silent", "never_placed", "preempted_for_good"}
"""Lives in which we end pods: a log that could not be stored before is lost with them (the launcher stores its own)."""


def check(name: str, life: Life, calm: Life, *, lost: str = "") -> None:
    """The oracles.

    Args:
        name: Of the scenario.
        life: As it was lived.
        calm: Without a fault.
        lost: The call that was lost.
    """
    found, wanted = end_state(life), end_state(calm)
    if lost == "mlflow upload" and name in LOGS_MAY_GO:
        for state in (found, wanted):
            state["mlflow"] = [
                (*run[:-1], [a for a in run[-1] if not a.startswith("logs/attempt-1/")]) for run in state["mlflow"]
            ]
    assert different(found, wanted) == []
    jobs = [call for call in life.world.calls if call.startswith("create Job")]
    names = {call for call in calm.world.calls if call.startswith("create Job")}
    assert {call.rsplit("-", 1)[-1] for call in jobs} == {call.rsplit("-", 1)[-1] for call in names}
    assert "RUNNING" not in life.mlflow().values()
    for before, after in pairwise(life.world.phases):
        assert after in FOLLOWS[before] or (name in AGAIN and after == "Pending")
    assert_no_overlap(life)
    assert len(life.world.jobs_made) == len(set(life.world.jobs_made))


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
            check(name, life, calm, lost=call if fault.startswith("lost") else "")
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
        "suspended": ["Succeeded"],
        "suspended_from_the_start": ["Succeeded"],
        "cancelled": ["Cancelled"],
        "finished_on_request": ["Succeeded"],
        "finished_by_force": ["Succeeded"],
        "stopped_early": ["Succeeded"],
        "preempted": ["Succeeded"],
        "preempted_for_good": ["Succeeded"],
        "half_a_gang": ["Succeeded"],
        "node_lost": ["Succeeded"],
        "silent": ["Succeeded"],
        "never_placed": ["Failed"],
        "gone_in_time": [],
        "recorded": ["Succeeded"],
    }
    others = {
        "fails": ["FAILED"],
        "deleted_while_running": ["KILLED"],
        "deleted_while_pending": ["KILLED"],
        "deadline": ["FAILED"],
        "created_again": ["FINISHED", "KILLED"],
        "cancelled": ["KILLED"],
        "never_placed": ["FAILED"],
    }
    states = {n: sorted(life.mlflow().values()) for n, life in ends.items()}
    assert states == {name: others.get(name, ["FINISHED"]) for name in SCENARIOS}
    stories = {n: [a["outcome"] for a in life.status()["attempts"]] for n, life in ends.items() if n in STORIES}
    assert stories == STORIES
    assert ends["recorded"].count("create Job") == 1


STORIES = {
    "suspended": ["Suspended", "Succeeded"],
    "suspended_from_the_start": ["Succeeded"],
    "cancelled": ["Stopped"],
    "finished_on_request": ["Succeeded"],
    "finished_by_force": ["Stopped"],
    "stopped_early": ["Succeeded"],
    "preempted": ["Succeeded"],
    "preempted_for_good": ["Suspended", "Succeeded"],
    "half_a_gang": ["Disrupted", "Succeeded"],
    "node_lost": ["Disrupted", "Succeeded"],
    "silent": ["Failed", "Succeeded"],
    "never_placed": ["Failed"],
}
