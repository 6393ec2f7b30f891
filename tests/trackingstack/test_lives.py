"""Random lives: whatever is applied, deleted and crashed, a stack that is left in peace becomes what it should be."""

import asyncio
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.ports import Kind
from runwright.trackingstack.quantity import quantity
from tests.trackingstack.model import KEY, Fault, Life

SPECS: Final[list[dict[str, Any]]] = [
    {},
    {"server": {"auth": "Basic"}},
    {"server": {"version": "3.18.0"}, "deletionPolicy": "Delete"},
    {"postgresql": {"version": "17.999"}},
    {"postgresql": {"storage": "16Gi"}, "objectStore": {"storage": "1Ti"}},
    {"postgresql": {"storage": "32Gi", "version": "17.5"}, "deletionPolicy": "Delete"},
]
VICTIMS: Final = [
    (Kind.DEPLOYMENT, "a-mlflow"),
    (Kind.STATEFUL_SET, "a-object-store"),
    (Kind.POD, "a-postgresql-0"),
    (Kind.CONFIG_MAP, "a-postgresql"),
    (Kind.SECRET, "a-object-store-credentials"),
    (Kind.TRACKING_STACK, KEY.name),
]
FAULTS: Final[list[Fault]] = ["crash-before", "crash-after", "lost-before", "lost-after"]

APPLY = st.sampled_from(SPECS).map(lambda spec: ("apply", spec))
DELETE = st.sampled_from(VICTIMS).map(lambda victim: ("delete", victim))
FAULT = st.tuples(st.integers(1, 4), st.sampled_from(FAULTS)).map(lambda fault: ("fault", fault))
LIVE = st.integers(1, 6).map(lambda steps: ("live", steps))


async def happen(life: Life, what: str, how: Any) -> None:
    world = life.world
    if what == "apply":
        world.apply(how)
    elif what == "delete":
        world.remove(*how)
    elif what == "fault":
        world.faults[len(world.calls) + how[0]] = how[1]
    else:
        for _ in range(how):
            sizes = claimed(life)
            await life.step()
            after = claimed(life)
            assert all(after[name] >= size for name, size in sizes.items() if name in after), "no volume shrinks"


def claimed(life: Life) -> dict[str, Any]:
    """Size of each volume, by uid: one that was deleted and made anew may be smaller."""
    return {
        obj["metadata"]["uid"]: quantity(obj["spec"]["resources"]["requests"]["storage"])
        for (kind, _), obj in life.world.objects.items()
        if kind is Kind.VOLUME_CLAIM
    }


def passwords(life: Life) -> tuple[Any, Any]:
    """The database's volume and its password."""
    names = ((Kind.VOLUME_CLAIM, "data-a-postgresql-0"), (Kind.SECRET, "a-postgresql-credentials"))
    volume, secret = (life.world.objects.get((kind, type(KEY)(KEY.namespace, name))) for kind, name in names)
    return volume and volume["metadata"]["uid"], secret and secret["data"]


async def lived(events: list[tuple[str, Any]], last: dict[str, Any]) -> None:
    life = Life()
    life.world.broken_images = frozenset({"17.999"})
    life.world.apply({})
    known: dict[str, Any] = {}
    for what, how in events:
        await happen(life, what, how)
        volume, password = passwords(life)
        if volume and password:
            assert known.setdefault(volume, password) == password, "a database keeps its password"
    life.world.faults.clear()
    life.world.apply(last)
    for _ in range(80):
        await life.step()
    assert life.world.condition("Ready") == ("True", "PartsReady"), life.world.status
    assert {r["state"] for r in life.world.status["releases"]} == {"deployed"}
    calls = len(life.world.calls)
    await life.step()
    assert len(life.world.calls) == calls


@settings(max_examples=60)
@given(
    st.lists(st.one_of(APPLY, DELETE, FAULT, LIVE, LIVE), max_size=12), st.sampled_from([SPECS[0], SPECS[1], SPECS[5]])
)
def test_a_stack_left_in_peace_becomes_what_it_should_be(events: list[tuple[str, Any]], last: dict[str, Any]) -> None:
    asyncio.run(lived(events, last))
