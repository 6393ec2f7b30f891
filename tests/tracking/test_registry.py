"""One tracker per server, and what becomes of those that no stack names any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runwright.errors import TrackerUnavailableError
from runwright.ports import Key, TrackingServer
from runwright.tracking.follow import Look
from runwright.tracking.poller import Poller
from runwright.tracking.registry import RegistrySettings, TrackerRegistry
from runwright.tracking.sweeper import Sweeper
from tests.support.until import until

SERVER = TrackingServer("http://mlflow.invalid", operator_secret=Key("tracking", "login"))
OTHER = TrackingServer("http://other.invalid")
HASTY = RegistrySettings(unused_seconds=0.0, farewell_pause=0.0)
RUN = Key("team-a", "mnist")


@pytest.fixture(autouse=True)
def _no_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops rest: what is tested is which of them there are."""

    async def rest(_loop: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Poller, "run", rest)
    monkeypatch.setattr(Sweeper, "run", rest)


@pytest.fixture
async def registries() -> AsyncIterator[Callable[..., TrackerRegistry]]:
    made: list[TrackerRegistry] = []

    def make(enqueue: Callable[[Key], None] = lambda _key: None, **options: Any) -> TrackerRegistry:
        made.append(TrackerRegistry("cluster", enqueue, **{"settings": HASTY, **options}))
        return made[-1]

    yield make
    for registry in made:
        await registry.aclose()


Registries = Callable[..., TrackerRegistry]


async def test_what_only_people_and_pods_see_makes_no_other_server(registries: Registries) -> None:
    registry = registries()
    first = registry(SERVER)
    for same in (
        replace(SERVER, uri=f"{SERVER.uri}/"),
        replace(SERVER, ui_url="http://ui"),
        replace(SERVER, shared=True),
        replace(SERVER, client_secret="client"),
    ):
        assert registry(same) is first


@pytest.mark.parametrize(
    "change", [{"uri": "http://x.invalid"}, {"operator_secret": Key("tracking", "new")}, {"ca_bundle": "PEM"}]
)
async def test_another_address_login_or_authority_makes_another_one(
    registries: Registries, change: dict[str, Any]
) -> None:
    registry = registries()
    first = registry(SERVER)
    assert registry(replace(SERVER, **change)) is not first
    assert registry(SERVER) is first


async def test_servers_that_are_named_stay_and_others_go(registries: Registries) -> None:
    registry = registries()
    kept, given_up = registry(SERVER), registry(OTHER)
    registry.retain([SERVER])
    await until(lambda: given_up.transport._closed, "the other one to go")
    assert registry(SERVER) is kept
    assert registry(OTHER) is not given_up
    with pytest.raises(TrackerUnavailableError, match="belongs to no TrackingStack any more"):
        await given_up.ping()


async def test_runs_followed_at_a_server_that_goes_are_looked_at_again(registries: Registries) -> None:
    enqueued: list[Key] = []
    registry = registries(enqueued.append)
    registry(SERVER).follow("run1", RUN)
    registry.retain([])
    assert enqueued == [RUN], "at once: the stack may name another server now"


async def test_one_that_somebody_asked_for_just_now_stays(registries: Registries) -> None:
    registry = registries(settings=replace(HASTY, unused_seconds=3600.0))
    fresh = registry(SERVER)
    registry.retain([OTHER])
    for _ in range(20):  # turns of the event loop
        await asyncio.sleep(0)
    assert registry(SERVER) is fresh
    assert not fresh.transport._closed


async def test_before_a_server_goes_what_was_left_running_there_is_closed(
    registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[bool | Exception] = [TrackerUnavailableError("away"), RuntimeError("a bug"), True, False]
    swept: list[Sweeper] = []

    async def sweep(sweeper: Sweeper) -> bool:
        swept.append(sweeper)
        answer = rounds.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Sweeper, "sweep", sweep)
    registry = registries(resolve=_leave)
    going = registry(SERVER)
    registry.retain([])
    await until(lambda: going.transport._closed, "it to go")
    assert (len(swept), rounds) == (4, [])


async def test_a_server_that_never_answers_again_goes_after_some_time(
    registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sweep(_sweeper: Sweeper) -> bool:
        raise TrackerUnavailableError("away")

    monkeypatch.setattr(Sweeper, "sweep", sweep)
    registry = registries(resolve=_leave, settings=replace(HASTY, farewell_seconds=0.05))
    going = registry(SERVER)
    registry.retain([])
    await until(lambda: going.transport._closed, "it to go")


async def test_a_stack_that_comes_back_in_time_finds_its_server(
    registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = 0

    async def sweep(_sweeper: Sweeper) -> bool:
        nonlocal swept
        swept += 1
        return True

    monkeypatch.setattr(Sweeper, "sweep", sweep)
    registry = registries(resolve=_leave)
    tracker = registry(SERVER)
    registry.retain([])
    await until(lambda: swept > 1, "the farewell to begin")
    registry.retain([SERVER])
    await until(lambda: not registry._farewells, "the farewell to be called off")
    assert registry(SERVER) is tracker
    assert not tracker.transport._closed


async def test_second_looks_move_to_the_server_of_the_same_address(registries: Registries) -> None:
    registry = registries()
    old, new = registry(SERVER), registry(replace(SERVER, operator_secret=Key("tracking", "new")))
    elsewhere = registry(OTHER)
    old.look_again(Look("run1", "FAILED", datetime(2026, 1, 1, tzinfo=UTC)))
    registry.retain([replace(SERVER, operator_secret=Key("tracking", "new")), OTHER])
    await until(lambda: old.transport._closed, "the old one to go")
    assert [look.run_id for look in new.followed.looks] == ["run1"]
    assert not elsewhere.followed.looks


async def test_closing_ends_farewells_too(registries: Registries) -> None:
    registry = registries(settings=replace(HASTY, unused_seconds=3600.0))
    tracker = registry(SERVER)
    registry.retain([])
    await registry.aclose()
    assert tracker.transport._closed
    assert not [task for task in asyncio.all_tasks() if "mlflow.invalid" in task.get_name()]


async def _leave(_run: object) -> Any:
    return "leave"
