"""The work queue with real workers."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import ClusterUnavailableError, ConflictError, InvalidObjectError, RefusedError
from runwright.operator.queue import LONGEST_REFUSED_SECONDS, LONGEST_SECONDS, WorkQueue, delay, outcome_of
from runwright.ports import Key, Kind
from tests.support.until import until

A, B = Key("ns", "a"), Key("ns", "b")


@asynccontextmanager
async def running(
    reconcile: Callable[[Key], Awaitable[float | None]], *, concurrency: int = 4, opened: bool = True
) -> AsyncIterator[WorkQueue]:
    outcomes: list[str] = []
    queue = WorkQueue(
        Kind.TRAINING_RUN,
        reconcile,
        concurrency=concurrency,
        record=lambda _kind, outcome, _seconds: outcomes.append(outcome),
    )
    queue.outcomes = outcomes  # type: ignore[attr-defined]
    if opened:
        queue.open()
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        await queue.drain(5.0)
        await task


async def test_nothing_runs_before_the_queue_is_opened() -> None:
    done: list[Key] = []

    async def reconcile(key: Key) -> None:
        done.append(key)

    async with running(reconcile, opened=False) as queue:
        queue.add(A)
        await asyncio.sleep(0)
        assert len(queue) == 1
        assert not done
        queue.open()
        await until(lambda: done == [A], "the key is reconciled")


async def test_one_worker_per_key_and_no_wish_is_lost() -> None:
    at_once: Counter[Key] = Counter()
    most: Counter[Key] = Counter()
    seen: dict[Key, int] = {}
    wanted: dict[Key, int] = {}

    async def reconcile(key: Key) -> None:
        at_once[key] += 1
        most[key] = max(most[key], at_once[key])
        level = wanted[key]
        for _ in range(3):
            await asyncio.sleep(0)
        seen[key] = level
        at_once[key] -= 1

    async with running(reconcile) as queue:
        for level in range(50):
            for key in (A, B):
                wanted[key] = level
                queue.add(key)
            if level % 3 == 0:
                await asyncio.sleep(0)
        await until(lambda: seen == {A: 49, B: 49}, "both keys were reconciled after their last wish")
    assert most == {A: 1, B: 1}


async def test_no_more_workers_than_allowed() -> None:
    release = asyncio.Event()
    active = 0
    most = 0

    async def reconcile(_: Key) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await release.wait()
        active -= 1

    async with running(reconcile, concurrency=3) as queue:
        for number in range(10):
            queue.add(Key("ns", str(number)))
        await until(lambda: active == 3, "three workers are busy")
        assert queue.running == 3
        release.set()
        await until(lambda: active == 0 and len(queue) == 0, "all are done")
    assert most == 3


async def test_a_key_comes_back_when_it_asked_to() -> None:
    calls = 0

    async def reconcile(_: Key) -> float | None:
        nonlocal calls
        calls += 1
        return 0.01 if calls < 3 else None

    async with running(reconcile) as queue:
        queue.add(A)
        await until(lambda: calls == 3, "three passes")


async def test_failures_are_tried_again_and_a_bug_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [ConflictError("raced"), ClusterUnavailableError("away"), ZeroDivisionError("bug")]
    calls = 0

    async def reconcile(_: Key) -> None:
        nonlocal calls
        calls += 1
        if calls <= len(errors):
            raise errors[calls - 1]

    with caplog.at_level(logging.DEBUG):
        async with running(reconcile) as queue:
            queue.add(A)
            await until(lambda: calls == 4, "the fourth try succeeds")
            await until(lambda: queue.running == 0, "the worker is done")
            outcomes = queue.outcomes  # type: ignore[attr-defined]
    assert outcomes == ["conflict", "transient", "error", "ok"]
    by_level = {record.levelname: record for record in caplog.records if record.name == "runwright.operator.queue"}
    assert by_level["ERROR"].exc_info is not None
    assert "away" in by_level["WARNING"].getMessage()
    assert "raced" in by_level["DEBUG"].getMessage()


async def test_the_same_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    async def reconcile(_: Key) -> None:
        nonlocal calls
        calls += 1
        raise RefusedError("spec.image: the field is wrong", status=422)

    def reached(number: int) -> bool:
        return calls == number

    async with running(reconcile) as queue:
        for number in range(1, 4):
            queue.add(A)
            await until(partial(reached, number), "a try")
            await until(lambda: queue.running == 0, "the worker is done")
    told = [record for record in caplog.records if "spec.image" in record.getMessage()]
    assert len(told) == 1


async def test_a_hung_worker_shows_its_key_and_age() -> None:
    async def reconcile(_: Key) -> None:
        await asyncio.Event().wait()

    async with running(reconcile) as queue:
        queue.add(A)
        await until(lambda: queue.oldest() is not None, "the key is in work")
        oldest = queue.oldest()
        assert oldest is not None
        assert oldest[0] == A
        assert oldest[1] >= 0
        await queue.drain(0.0)
        assert queue.oldest() is None


async def test_draining_lets_work_finish_and_begins_none() -> None:
    release = asyncio.Event()
    done: list[Key] = []

    async def reconcile(key: Key) -> None:
        await release.wait()
        done.append(key)

    async with running(reconcile, concurrency=1) as queue:
        queue.add(A)
        queue.add(B)
        await until(lambda: queue.running == 1, "the first is in work")
        draining = asyncio.create_task(queue.drain(5.0))
        await asyncio.sleep(0)
        release.set()
        await draining
    assert done == [A]


@given(
    st.sampled_from(["conflict", "transient", "error", "refused"]),
    st.integers(1, 10_000),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_delays_are_bounded_and_grow(outcome: str, failures: int, jitter: float) -> None:
    seconds = delay(outcome, failures, jitter)
    if outcome == "conflict" and failures == 1:
        assert seconds == 0.0
    else:
        refused = outcome == "refused"
        assert (7.5 if refused else 0.1) <= seconds <= (LONGEST_REFUSED_SECONDS if refused else LONGEST_SECONDS)
        assert delay(outcome, failures + 1, jitter) >= seconds


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConflictError(""), "conflict"),
        (ClusterUnavailableError(""), "transient"),
        (RefusedError(""), "refused"),
        (InvalidObjectError(""), "refused"),
        (KeyError(""), "error"),
    ],
)
def test_outcomes(error: Exception, outcome: str) -> None:
    assert outcome_of(error) == outcome
