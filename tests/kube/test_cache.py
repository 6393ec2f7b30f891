"""The cache ends in the newest state, in whatever order it hears of the states."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runwright.kube.cache import Cache, key_of
from runwright.names import LABEL_RUN_UID
from runwright.ports import Json, Key, Kind

KEYS = [Key("ns", "a"), Key("ns", "b"), Key("other", "a")]


def pod(key: Key, version: int, **extra: Any) -> dict[str, Any]:
    labels = {LABEL_RUN_UID: f"uid-of-{key.name}"}
    meta = {"namespace": key.namespace, "name": key.name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta, **extra}


class World:
    """A history of the API server: at each version one key is written or deleted."""

    def __init__(self, steps: list[tuple[int, bool]]) -> None:
        self.states: list[dict[Key, int]] = [{}]
        self.changes: list[tuple[Key, int, bool]] = []
        for which, exists in steps:
            version, key = len(self.states), KEYS[which]
            state = dict(self.states[-1])
            if exists:
                state[key] = version
            elif key in state:
                del state[key]
            else:
                continue
            self.states.append(state)
            self.changes.append((key, version, exists))


steps = st.lists(st.tuples(st.integers(0, len(KEYS) - 1), st.booleans()), max_size=12)


def tell(cache: Cache, world: World, message: tuple[str, int]) -> None:
    what, number = message
    if what == "list":
        version = number
        items = [pod(key, at) for key, at in world.states[version].items()]
        cache.relisted(Kind.POD, items, version)
        return
    key, version, exists = world.changes[number]
    if exists:
        cache.seen(Kind.POD, pod(key, version))
    else:
        cache.gone(Kind.POD, key, version)


@given(steps, st.data())
def test_any_order_of_all_events_and_some_lists_ends_in_the_newest_state(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    world = World(steps)
    lists = data.draw(st.lists(st.integers(0, len(world.states) - 1), max_size=3))
    repeated = data.draw(st.lists(st.integers(0, len(world.changes) - 1), max_size=3)) if world.changes else []
    messages = [("event", number) for number in (*range(len(world.changes)), *repeated)]
    messages += [("list", version) for version in lists]
    cache = Cache()
    for message in data.draw(st.permutations(messages)):
        tell(cache, world, message)
    assert contents(cache) == world.states[-1]
    for key in KEYS:
        expected = [key] if key in world.states[-1] else []
        owned = [key_of(obj) for obj in cache.owned(Kind.POD, f"uid-of-{key.name}") if key_of(obj) == key]
        assert owned == expected


@given(steps, st.data())
def test_any_events_lost_are_made_good_by_a_list_of_the_newest_state(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    world = World(steps)
    heard = data.draw(st.lists(st.integers(0, len(world.changes) - 1), max_size=8)) if world.changes else []
    messages = [("event", number) for number in heard] + [("list", len(world.states) - 1)]
    cache = Cache()
    for message in data.draw(st.permutations(messages)):
        tell(cache, world, message)
    assert contents(cache) == world.states[-1]


def contents(cache: Cache) -> dict[Key, int]:
    return {key_of(obj): int(obj["metadata"]["resourceVersion"]) for obj in cache.all(Kind.POD)}


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    assert cache.seen(Kind.POD, pod(KEYS[0], 10))
    assert not cache.seen(Kind.POD, pod(KEYS[0], 9))


def test_a_list_tells_what_changed_and_what_vanished() -> None:
    cache = Cache()
    cache.seen(Kind.POD, pod(KEYS[0], 1))
    cache.seen(Kind.POD, pod(KEYS[1], 2))
    found = cache.relisted(Kind.POD, [pod(KEYS[1], 3)], 5)
    assert [key_of(obj) for obj in found.changed] == [KEYS[1]]
    assert [key_of(obj) for obj in found.vanished] == [KEYS[0]]


def test_a_list_of_one_namespace_says_nothing_of_the_others() -> None:
    cache = Cache()
    cache.seen(Kind.POD, pod(KEYS[0], 1))
    cache.seen(Kind.POD, pod(KEYS[2], 2))
    found = cache.relisted(Kind.POD, [], 5, "ns")
    assert [key_of(obj) for obj in found.vanished] == [KEYS[0]]
    assert cache.get(Kind.POD, KEYS[2]) is not None


def test_what_was_created_after_the_list_is_no_ghost() -> None:
    cache = Cache()
    cache.seen(Kind.POD, pod(KEYS[0], 7))
    assert not cache.relisted(Kind.POD, [], 5).vanished
    assert cache.get(Kind.POD, KEYS[0]) is not None


def test_the_echo_of_a_removal_that_is_known_is_no_news() -> None:
    cache = Cache()
    run = {"metadata": {"namespace": "ns", "name": "a", "resourceVersion": "1"}, "status": {"phase": "Running"}}
    ended = {"metadata": {**run["metadata"], "resourceVersion": "2"}, "status": {"phase": "Succeeded"}}
    assert cache.seen(Kind.TRAINING_RUN, run)
    assert cache.seen(Kind.TRAINING_RUN, ended)
    assert cache.get(Kind.TRAINING_RUN, KEYS[0]) is None
    assert not cache.gone(Kind.TRAINING_RUN, KEYS[0], 2)


def test_a_removal_that_nobody_told_yet_is_news() -> None:
    cache = Cache()
    assert cache.gone(Kind.TRAINING_RUN, KEYS[0], 2)


def test_foreign_jobs_and_managed_fields_are_not_kept() -> None:
    cache = Cache()
    foreign: Json = {"metadata": {"namespace": "ns", "name": "a", "resourceVersion": "1"}}
    cache.seen(Kind.JOB, foreign)
    assert cache.get(Kind.JOB, KEYS[0]) is None
    ours = pod(KEYS[0], 1)
    ours["metadata"]["managedFields"] = [{"manager": "x"}]
    cache.seen(Kind.POD, ours)
    kept = cache.get(Kind.POD, KEYS[0])
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert "managedFields" in ours["metadata"]


def test_removals_remembered_are_bounded() -> None:
    cache = Cache(max_tombstones=2)
    for number in range(5):
        cache.gone(Kind.POD, Key("ns", f"pod-{number}"), number)
    assert not cache.gone(Kind.POD, Key("ns", "pod-4"), 4)
    assert cache.gone(Kind.POD, Key("ns", "pod-0"), 0)
