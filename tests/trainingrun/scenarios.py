"""Lives that are worth disturbing at every step, by name."""

from collections.abc import Awaitable, Callable
from functools import partial

from tests.trainingrun.life import Life
from tests.trainingrun.world import Behavior, World

Scenario = Callable[[World], Awaitable[Life]]


async def happy(world: World) -> Life:
    life = Life(world)
    life.apply(tracking={"tags": {"team": "vision"}}, source={"inline": {"files": {"train.py": "x"}}})
    return life


async def two_nodes(world: World) -> Life:
    life = Life(world)
    life.apply(numNodes=2)
    return life


async def second_attempt(world: World) -> Life:
    world.script = lambda attempt, _: Behavior(exit_code=3 if attempt == 1 else 0)
    life = Life(world)
    life.apply(retry={"maxFailures": 1})
    return life


async def fails(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(exit_code=3)
    life = Life(world)
    life.apply(retry={"maxFailures": 1})
    return life


async def disrupted(world: World) -> Life:
    world.script = lambda attempt, _: Behavior(disrupted=attempt == 1)
    life = Life(world)
    life.apply()
    return life


async def deleted_while_running(world: World) -> Life:
    life = Life(world)
    life.apply()
    life.at(12, life.delete)
    return life


async def deleted_while_pending(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(stuck="Unschedulable")
    life = Life(world)
    life.apply()
    life.at(12, life.delete)
    return life


async def deadline(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(seconds=500)
    life = Life(world)
    life.apply(activeDeadlineSeconds=30)
    return life


async def created_again(world: World) -> Life:
    life = Life(world)
    life.apply()
    life.at(12, life.delete, life.apply)
    return life


async def tracker_returns(world: World) -> Life:
    """The tracker is away when the training ends."""
    life = Life(world)
    life.apply()
    life.at(15, lambda: setattr(world.mlflow, "away", True))
    life.at(60, lambda: setattr(world.mlflow, "away", False))
    return life


# ---------------------------------------------------------------------------------------------------- on request


async def suspended(world: World) -> Life:
    life = Life(world)
    life.apply(activeDeadlineSeconds=60)
    life.at(12, partial(life.change, suspend=True))
    life.at(90, partial(life.change, suspend=False))
    return life


async def suspended_from_the_start(world: World) -> Life:
    life = Life(world)
    life.apply(suspend=True)
    life.at(20, partial(life.change, suspend=False))
    return life


async def cancelled(world: World) -> Life:
    life = Life(world)
    life.apply()
    life.at(12, partial(life.change, stop={"mode": "Cancel"}))
    return life


async def finished_on_request(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(seconds=500, obeys=True)
    life = Life(world)
    life.apply(numNodes=2)
    life.at(12, partial(life.change, stop={"mode": "Finish", "reason": "good enough", "timeoutSeconds": 60}))
    return life


async def finished_by_force(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(seconds=500)
    life = Life(world)
    life.apply()
    life.at(12, partial(life.change, stop={"mode": "Finish", "timeoutSeconds": 20}))
    return life


async def stopped_early(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(seconds=200, epochs=9, obeys=True)
    life = Life(world)
    life.apply(earlyStopping={"threshold": "0.92"})
    return life


# ---------------------------------------------------------------------------------------------------- queues, nodes


async def preempted(world: World) -> Life:
    """A queue takes the nodes away and gives others to the same Job."""
    life = Life(world)
    life.apply(queue="team")
    life.at(3, partial(world.suspend, suspended=False))
    life.at(15, partial(world.suspend, suspended=True))
    life.at(60, partial(world.suspend, suspended=False))
    return life


async def preempted_for_good(world: World) -> Life:
    """The same, but the pods die in a way that lets the Job fail."""
    world.script = lambda attempt, _: Behavior(sigterm_code=137 if attempt == 1 else 143)
    life = Life(world)
    life.apply(queue="team")
    life.at(3, partial(world.suspend, suspended=False))
    life.at(15, partial(world.suspend, suspended=True))
    life.at(90, partial(world.suspend, suspended=False))
    return life


async def half_a_gang(world: World) -> Life:
    world.places = 1
    life = Life(world)
    life.apply(numNodes=2, gangTimeoutSeconds=10)
    life.at(20, lambda: setattr(world, "places", 2))
    return life


async def node_lost(world: World) -> Life:
    world.script = lambda attempt, index: Behavior(lost=attempt == 1 and index == 1)
    life = Life(world)
    life.apply(numNodes=2, retry={"nodeLostTimeoutSeconds": 20})
    life.at(200, world.remove_lost_nodes)
    return life


# ---------------------------------------------------------------------------------------------------- clocks


async def silent(world: World) -> Life:
    world.script = lambda attempt, _: Behavior(seconds=5000, epochs=0) if attempt == 1 else Behavior()
    life = Life(world)
    life.apply(inactivity={"timeoutSeconds": 30, "action": "Restart"}, retry={"maxFailures": 1})
    return life


async def never_placed(world: World) -> Life:
    world.script = lambda _attempt, _index: Behavior(stuck="Unschedulable")
    life = Life(world)
    life.apply(pendingDeadlineSeconds=30)
    return life


async def gone_in_time(world: World) -> Life:
    life = Life(world)
    life.apply(ttlSecondsAfterFinished=50)
    return life


async def recorded(world: World) -> Life:
    """Deleted when it is through, and applied again."""
    life = Life(world)
    life.apply(rerunPolicy="IfNotRecorded")
    life.at(100, life.delete)
    life.at(120, partial(life.apply, rerunPolicy="IfNotRecorded"))
    return life


SCENARIOS: dict[str, Scenario] = {
    f.__name__: f
    for f in (
        happy,
        two_nodes,
        second_attempt,
        fails,
        disrupted,
        deleted_while_running,
        deleted_while_pending,
        deadline,
        created_again,
        tracker_returns,
        suspended,
        suspended_from_the_start,
        cancelled,
        finished_on_request,
        finished_by_force,
        stopped_early,
        preempted,
        preempted_for_good,
        half_a_gang,
        node_lost,
        silent,
        never_placed,
        gone_in_time,
        recorded,
    )
}
