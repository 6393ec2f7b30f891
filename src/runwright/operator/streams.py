"""Watches kopf's watches: an HTTP session for kopf that notes when bytes arrive on which stream.

kopf does not tell when a watch is silent, and a silent watch looks like a quiet cluster. Bookmarks make the
difference provable: the API server sends one about every minute on every stream.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import aiohttp

from runwright.operator.pulse import SILENT_SECONDS, Beat, Stream
from runwright.ports import Kind

OK = 200


class Streams:
    """The watch streams that must be alive: one per kind and namespace.

    Args:
        kinds: Watched kinds.
        namespaces: Watched namespaces; empty for all.
        observe: Told of each request that ended its headers: verb, resource, status, seconds.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        namespaces: Sequence[str],
        observe: Callable[[str, str, int, float], None] = lambda *_: None,
    ) -> None:
        self._observe = observe
        self._names: dict[str, str] = {}
        self._streams: dict[str, Stream] = {}
        self._waiting: set[str] = set()
        self.opened = asyncio.Event()
        now = time.monotonic()
        for kind in kinds:
            for namespace in namespaces or ("",):
                where = f"/namespaces/{namespace}" if namespace else ""
                path = f"{kind.path}{where}/{kind.plural}"
                self._names[path] = f"{kind.plural} in {namespace}" if namespace else kind.plural
                self._streams[path] = Stream(Beat(SILENT_SECONDS, now))
                self._waiting.add(path)

    def silent(self) -> dict[str, float]:
        """Name the watches that are silent, and for how many seconds."""
        now = time.monotonic()
        late = {self._names[path]: stream.beat.late(now) for path, stream in self._streams.items()}
        return {name: seconds for name, seconds in late.items() if seconds is not None}

    async def listen(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Note the signs of life of each request (an aiohttp client middleware)."""
        started = time.monotonic()
        path, watch = request.url.path, request.url.query.get("watch") == "true"
        verb = "watch" if watch else "list"
        resource = path.rpartition("/")[2]
        try:
            response = await handler(request)
        except BaseException:
            self._observe(verb, resource, 0, time.monotonic() - started)
            raise
        self._observe(verb, resource, response.status, time.monotonic() - started)
        stream = self._streams.get(path)
        if watch and stream is not None and response.status == OK:
            stream.opened(time.monotonic())
            self._waiting.discard(path)
            if not self._waiting:
                self.opened.set()
            response.content = cast("aiohttp.StreamReader", _Listened(response.content, stream))
        return response


class _Listened:
    """A response's content that notes when chunks are read from it."""

    def __init__(self, content: aiohttp.StreamReader, stream: Stream) -> None:
        self._content = content
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Pass chunks through; this is how kopf reads its watches."""
        async for chunk in self._content.iter_chunked(size):
            self._stream.received(time.monotonic())
            yield chunk
