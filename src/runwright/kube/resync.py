"""Re-lists what is watched: the barrier at the start, and the safety net afterwards.

A watch tells nothing of objects that vanished while it was interrupted past the server's memory (410), and a start
must not act before it has seen everything once. Both are answered by a complete LIST, chunked, of each kind.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from runwright.errors import RunwrightError
from runwright.kube.cache import Cache, Difference, version_of
from runwright.kube.client import Client, ExpiredError
from runwright.kube.watched import SELECTORS, WATCHED
from runwright.ports import Json, Kind

logger = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 300.0
JITTER: Final = 0.2
POLL_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 5.0

Found = Callable[[Kind, Difference], None]
"""Called after each LIST with what it found that was not known."""


class Resync:
    """Re-lists every watched kind.

    Args:
        client: Lists.
        cache: Takes the lists in.
        namespaces: The namespaces watched; empty for all.
        stacks_in: A namespace whose TrackingStacks are wanted although it is not watched: they are polled.
        found: Told what differed.
        beat: Called after every complete round: proof of progress.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        namespaces: Sequence[str] = (),
        stacks_in: str = "",
        found: Found,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._lists = [(kind, namespace) for kind in WATCHED for namespace in (tuple(namespaces) or ("",))]
        unwatched = namespaces and stacks_in and stacks_in not in namespaces
        self._polled = [(Kind.TRACKING_STACK, stacks_in)] if unwatched else []
        self._found = found
        self._beat = beat

    async def first(self) -> None:
        """List every kind, retrying until all lists are complete: nothing may act before."""
        async with asyncio.TaskGroup() as group:
            for kind, namespace in (*self._lists, *self._polled):
                group.create_task(self._until_complete(kind, namespace), name=f"first LIST of {kind.plural}")
        self._beat()

    async def run(self) -> None:
        """Re-list every five minutes, kind by kind, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(PERIOD_SECONDS, self.once))
            if self._polled:
                group.create_task(self._every(POLL_SECONDS, self._poll))

    async def once(self) -> None:
        """Re-list every kind once; what fails is logged and waits for the next round."""
        if await self._relist(self._lists):
            self._beat()

    async def _poll(self) -> None:
        await self._relist(self._polled)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter
            await work()

    async def _relist(self, lists: Sequence[tuple[Kind, str]]) -> bool:
        complete = True
        for kind, namespace in lists:
            try:
                await self._list(kind, namespace)
            except RunwrightError as error:
                complete = False
                logger.warning("Re-listing %s failed: %s", kind.plural, error)
        return complete

    async def _until_complete(self, kind: Kind, namespace: str) -> None:
        while True:
            try:
                return await self._list(kind, namespace)
            except RunwrightError as error:
                logger.warning("The first LIST of %s failed, retrying: %s", kind.plural, error)
            await asyncio.sleep(RETRY_SECONDS * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter

    async def _list(self, kind: Kind, namespace: str) -> None:
        try:
            items, version = await self._collect(kind, namespace)
        except ExpiredError:  # the pages took longer than the server keeps them: once more from the start
            items, version = await self._collect(kind, namespace)
        difference = self._cache.relisted(kind, items, version, namespace)
        if difference.vanished:
            logger.info("%d %s vanished without an event", len(difference.vanished), kind.plural)
        self._found(kind, difference)

    async def _collect(self, kind: Kind, namespace: str) -> tuple[Sequence[Json], int]:
        items: list[Json] = []
        version = 0
        selector = SELECTORS[kind]
        async for page in self._client.pages(
            kind, namespace=namespace, label_selector=selector.label, field_selector=selector.field
        ):
            version = version_of(page)
            items.extend(_typed(kind, obj) for obj in page.get("items") or ())
        return items, version


def _typed(kind: Kind, obj: dict[str, Any]) -> Json:
    """Add ``apiVersion`` and ``kind``, which the items of a LIST of built-in kinds lack."""
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    return obj
