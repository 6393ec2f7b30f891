"""Many callers, one request: keys asked for within a few milliseconds are answered together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

WINDOW_SECONDS: Final = 0.02
"""How long the first caller waits for company; a search takes 7 to 90 ms."""


class Coalescer(Generic[K, V]):
    """Collects keys for `window` seconds, then calls `load` once with all of them.

    One `load` at a time: what is asked for meanwhile waits and grows, so that a slow server gets fewer, larger
    requests. Every caller gets its own key's value (None when `load` left it out) or the error that `load` raised; a
    canceled caller does not disturb the others.
    """

    def __init__(
        self, load: Callable[[frozenset[K]], Awaitable[Mapping[K, V]]], *, window: float = WINDOW_SECONDS
    ) -> None:
        self._load = load
        self._window = window
        self._keys: set[K] = set()
        self._waiting: asyncio.Task[Mapping[K, V]] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def get(self, key: K) -> V | None:
        """The value of `key`, loaded after this call began."""
        self._keys.add(key)
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._run())
            # Should every caller be canceled, nobody is left to hear of the error.
            self._waiting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return (await asyncio.shield(self._waiting)).get(key)

    async def _run(self) -> Mapping[K, V]:
        await asyncio.sleep(self._window)
        async with self._one_at_a_time:
            keys, self._keys, self._waiting = frozenset(self._keys), set(), None
            return await self._load(keys)
