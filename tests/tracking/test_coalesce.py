"""One request for many callers."""

import asyncio
from collections.abc import Mapping

import pytest

from runwright.tracking.coalesce import Coalescer


async def test_callers_of_the_same_moment_share_a_load_and_get_their_own() -> None:
    loads: list[frozenset[int]] = []

    async def load(keys: frozenset[int]) -> Mapping[int, str]:
        loads.append(keys)
        return {key: str(key) for key in keys if key != 3}

    coalescer = Coalescer(load, window=0)
    assert await asyncio.gather(*map(coalescer.get, [1, 2, 2, 3])) == ["1", "2", "2", None]
    assert await coalescer.get(1) == "1"
    assert loads == [frozenset({1, 2, 3}), frozenset({1})]


async def test_one_load_at_a_time_and_what_comes_meanwhile_is_loaded_after() -> None:
    loads: list[frozenset[int]] = []
    gate, started = asyncio.Event(), asyncio.Event()

    async def load(keys: frozenset[int]) -> Mapping[int, str]:
        loads.append(keys)
        started.set()
        await gate.wait()
        return dict.fromkeys(keys, "x")

    coalescer = Coalescer(load, window=0)
    first = asyncio.create_task(coalescer.get(1))
    await started.wait()
    others = [asyncio.create_task(coalescer.get(key)) for key in (1, 2, 3)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert loads == [frozenset({1})]
    gate.set()
    assert await asyncio.gather(first, *others) == ["x"] * 4
    assert loads == [frozenset({1}), frozenset({1, 2, 3})], "a read that began before a call does not answer it"


async def test_an_error_reaches_everyone_and_the_next_call_starts_anew() -> None:
    fail = True

    async def load(keys: frozenset[int]) -> Mapping[int, str]:
        if fail:
            raise ConnectionError
        return dict.fromkeys(keys, "x")

    coalescer = Coalescer(load, window=0)
    results = await asyncio.gather(coalescer.get(1), coalescer.get(2), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 2
    fail = False
    assert await coalescer.get(1) == "x"


async def test_a_canceled_caller_does_not_disturb_the_others() -> None:
    gate = asyncio.Event()

    async def load(keys: frozenset[int]) -> Mapping[int, str]:
        await gate.wait()
        return dict.fromkeys(keys, "x")

    coalescer = Coalescer(load, window=0)
    one, two = asyncio.create_task(coalescer.get(1)), asyncio.create_task(coalescer.get(2))
    await asyncio.sleep(0)
    one.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert await two == "x"
