"""Waiting for conditions in tests: never a fixed sleep."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_SECONDS = 30.0
"""For loaded machines; conditions hold after milliseconds on idle ones."""


async def until(condition: Callable[[], object], what: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return when `condition()` is true.

    Raises:
        AssertionError: it was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for: {what}"
        await asyncio.sleep(0.01)
