"""Every mutating call of a stack's life is crashed and lost in turn: the end is always the same."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, get_args

import pytest

from runwright.ports import Kind
from tests.trackingstack.model import KEY, Fault, Life, World

pytestmark = pytest.mark.slow

Story = Callable[[Life], Awaitable[None]]
LOGIN: Final = {"server": {"auth": "Basic"}}


async def install(life: Life) -> None:
    life.world.apply(LOGIN)
    await life.until_settled()


async def upgrade(life: Life) -> None:
    await install(life)
    life.world.apply({"server": {"auth": "Basic", "version": "3.18.0"}, "postgresql": {"version": "17.5"}})
    await life.until_settled()


async def grow(life: Life) -> None:
    await install(life)
    life.world.apply({**LOGIN, "postgresql": {"storage": "16Gi"}, "objectStore": {"storage": "1Ti"}})
    await life.until_settled()


async def let_go(life: Life) -> None:
    await install(life)
    life.world.apply({**LOGIN, "deletionPolicy": "Delete"})
    await life.until_settled()


async def come_back(life: Life) -> None:
    await install(life)
    life.world.remove(Kind.TRACKING_STACK, KEY.name)
    await life.step()
    life.world.settle()
    life.world.apply(LOGIN)
    await life.until_settled()


async def correct(life: Life) -> None:
    """An image that cannot be pulled, and its correction."""
    life.world.broken_images = frozenset({"17.999"})
    await install(life)
    life.world.apply({**LOGIN, "postgresql": {"version": "17.999"}})
    for _ in range(6):
        await life.step()
    life.world.apply({**LOGIN, "postgresql": {"version": "17.5"}})
    await life.until_settled()


STORIES: Final[dict[str, Story]] = {
    "install": install,
    "upgrade": upgrade,
    "grow": grow,
    "let-go": let_go,
    "come-back": come_back,
    "correct": correct,
}


def picture(world: World) -> dict[str, Any]:
    """What must be the same at the end, whatever happened on the way."""
    uid = world.objects[Kind.TRACKING_STACK, KEY]["metadata"]["uid"]

    def owners(obj: dict[str, Any]) -> list[str]:
        return ["stack" if o["uid"] == uid else o["kind"] for o in obj["metadata"].get("ownerReferences") or ()]

    return {
        "conditions": [(c["type"], c["status"], c["reason"]) for c in world.status["conditions"]],
        "published": {
            k: v for k, v in world.status.items() if k not in ("conditions", "releases", "observedGeneration")
        },
        "releases": {
            key.name: (r.state, {**r.wanted.values, "owner": None, "podAnnotations": None})
            for key, r in world.records.items()
        },
        "owners": {
            (kind.kind, key.name): owners(obj) for (kind, key), obj in world.objects.items() if kind is not Kind.POD
        },
        "sizes": {
            key.name: obj["spec"]["resources"]["requests"]["storage"]
            for (kind, key), obj in world.objects.items()
            if kind is Kind.VOLUME_CLAIM
        },
        "pods": {
            key.name: obj["metadata"]["labels"]["controller-revision-hash"].split("/")[0]
            for (kind, key), obj in world.objects.items()
            if kind is Kind.POD
        },
    }


@pytest.mark.parametrize("story", STORIES)
async def test_a_life_without_faults_ends_ready(story: str) -> None:
    life = Life()
    await STORIES[story](life)
    assert life.world.condition("Ready") == ("True", "PartsReady")
    assert life.world.status["trackingUri"] == "http://a-mlflow.team-a.svc.cluster.local:5000"


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize("story", STORIES)
async def test_whatever_happens_to_a_call_the_end_is_the_same(story: str, fault: Fault) -> None:
    undisturbed = Life()
    await STORIES[story](undisturbed)
    expected = picture(undisturbed.world)
    for number in range(1, len(undisturbed.world.calls) + 1):
        life = Life(World(faults={number: fault}))
        await STORIES[story](life)
        assert picture(life.world) == expected, f"call {number}: {undisturbed.world.calls[number - 1]}"


@pytest.mark.parametrize("fault", get_args(Fault))
async def test_no_password_is_ever_made_twice(fault: Fault) -> None:
    undisturbed = Life()
    await come_back(undisturbed)
    for number in range(1, len(undisturbed.world.calls) + 1):
        life = Life(World(faults={number: fault}))
        await install(life)
        before = {name: life.world.get(Kind.SECRET, name)["data"] for name in life.world.names(Kind.SECRET)}
        life.world.remove(Kind.TRACKING_STACK, KEY.name)
        await life.step()
        life.world.settle()
        assert life.world.names(Kind.SECRET) == set(before)
        life.world.apply(LOGIN)
        await life.until_settled()
        assert {name: life.world.get(Kind.SECRET, name)["data"] for name in before} == before


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_what_a_deleted_stack_leaves(policy: str) -> None:
    life = Life()
    life.world.apply({**LOGIN, "deletionPolicy": policy})
    await life.until_settled()
    life.world.remove(Kind.TRACKING_STACK, KEY.name)
    assert await life.step() is None
    for _ in range(4):
        life.world.settle()
    left = {kind.kind for kind, _ in life.world.objects}
    assert left == ({"Secret", "PersistentVolumeClaim"} if policy == "Retain" else set())
    assert life.world.records == {}


async def test_a_growing_database_is_not_restarted() -> None:
    life = Life()
    await install(life)
    before = life.world.get(Kind.POD, "a-postgresql-0")["metadata"]["uid"]
    life.world.apply({**LOGIN, "postgresql": {"storage": "16Gi"}})
    await life.until_settled()
    assert life.world.get(Kind.POD, "a-postgresql-0")["metadata"]["uid"] == before
    assert "orphan StatefulSet a-postgresql" in life.world.calls


async def test_what_remains_of_a_deleted_stack_is_not_taken_over() -> None:
    life = Life()
    life.world.apply({**LOGIN, "deletionPolicy": "Delete"})
    await life.until_settled()
    old = {name: life.world.get(Kind.SECRET, name)["metadata"]["uid"] for name in life.world.names(Kind.SECRET)}
    life.world.remove(Kind.TRACKING_STACK, KEY.name)
    life.world.apply({**LOGIN, "deletionPolicy": "Delete"})
    await life.process.reconciler.reconcile(KEY)  # the garbage collector comes later
    assert life.world.condition("Ready") == ("False", "WaitingForDeletion")
    await life.until_settled()
    new = {name: life.world.get(Kind.SECRET, name)["metadata"]["uid"] for name in life.world.names(Kind.SECRET)}
    assert new.keys() == old.keys()
    assert not set(new.values()) & set(old.values())
    assert life.world.condition("Ready") == ("True", "PartsReady")
