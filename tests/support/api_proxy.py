"""A proxy in front of an API server that sees every request and can spoil it: delay, refuse, swallow, cut, mute.

It listens on loopback, in plain HTTP unless told otherwise (bearer tokens pass through, but client-go sends none
without TLS), and runs in a thread of its own, so that blocking tests don't stop it.
"""

import asyncio
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Seen:
    """A request that came to the proxy."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    @property
    def watch(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch") == "true"


@dataclass
class Rule:
    """What happens to the requests that match, while it is on.

    Attributes:
        before: Called instead of forwarding at once; returns an answer to give, or None to forward.
        line: For watches: gets each event's line and returns what is sent on; empty swallows it.
        times: How many requests it still applies to; -1 for all.
        hits: How many it applied to.
    """

    method: str = ""
    path: str = ""
    watch: bool | None = None
    before: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
    line: Callable[[bytes], Awaitable[bytes]] | None = None
    times: int = -1
    hits: int = 0
    on: bool = field(default=True)

    def matches(self, seen: Seen) -> bool:
        """Tell whether the rule applies to a request."""
        return (
            self.on
            and self.times != 0
            and self.method in ("", seen.method)
            and (self.watch is None or self.watch == seen.watch)
            and re.fullmatch(self.path or ".*", seen.path) is not None
        )

    def remove(self) -> None:
        """Stop applying."""
        self.on = False


def delay(seconds: float) -> Callable[[web.Request], Awaitable[None]]:
    """Forward after some seconds."""

    async def before(_: web.Request) -> None:
        await asyncio.sleep(seconds)

    return before


async def black_hole(_: web.Request) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def refuse(status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> Any:
    """Answer with a Status object."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}

    async def before(_: web.Request) -> web.StreamResponse:
        return web.json_response({**body, "code": status}, status=status, headers=headers)

    return before


async def mute(_: bytes) -> bytes:
    """Let nothing through any more, and keep the stream open."""
    await asyncio.Event().wait()
    return b""


class ApiProxy:
    """The proxy; a context manager.

    Args:
        upstream: URL of the API server.
        ca_file: Certificate of the authority that signed its certificate.
        server_certificate: Certificate and key to listen with, signed by the same authority; None for plain HTTP.
    """

    def __init__(self, upstream: str, ca_file: Path, server_certificate: tuple[Path, Path] | None = None) -> None:
        self._upstream = upstream
        self._ca_file = ca_file
        self._server_certificate = server_certificate
        self._rules: list[Rule] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-proxy", daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._handling: set[asyncio.Task[None]] = set()
        self._transports: WeakSet[asyncio.Transport] = WeakSet()
        self.port = 0
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._server_certificate else 'http'}://127.0.0.1:{self.port}"

    def rule(self, rule: Rule) -> Rule:
        """Add a rule; the latest that matches applies."""
        self._rules.insert(0, rule)
        return rule

    def kubeconfig(self, original: Path, path: Path) -> Path:
        """Write a copy of a token kubeconfig that goes through the proxy."""
        config = json.loads(original.read_text())
        authority = config["clusters"][0]["cluster"] if self._server_certificate else {}
        config["clusters"][0]["cluster"] = {**authority, "server": self.url}
        path.write_text(json.dumps(config))
        return path

    def writes(self, pattern: str = ".*") -> list[Seen]:
        """Return the writes that came so far, Leases and access reviews left out."""
        return [
            seen
            for seen in list(self.seen)
            if seen.method in WRITES
            and not re.search(r"/leases|/self\w+reviews", seen.path)
            and re.fullmatch(pattern, seen.path)
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> None:
        context = ssl.create_default_context(cafile=self._ca_file)
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        own: ssl.SSLContext | None = None
        if self._server_certificate:
            own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            own.load_cert_chain(*self._server_certificate)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=own).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        for task in list(self._handling):
            task.cancel()
        await asyncio.gather(*self._handling, return_exceptions=True)
        for transport in list(self._transports):  # a TLS connection would wait for the other side's farewell
            transport.abort()
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0.25)  # TLS connections close some rounds of the loop later (aiohttp's documentation)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        if request.transport is not None:
            self._transports.add(request.transport)
        try:
            return await self._spoil(request)
        finally:
            self._handling.discard(task)

    async def _spoil(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen = Seen(request.method, request.path, dict(request.query), body)
        self.seen.append(seen)
        rule = next((rule for rule in self._rules if rule.matches(seen)), None)
        if rule is not None:
            rule.hits += 1
            rule.times -= rule.times > 0
            if rule.before is not None and (answer := await rule.before(request)) is not None:
                return answer
        return await self._forward(request, seen)

    async def _forward(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method,
            self._upstream + request.raw_path,
            headers=headers,
            data=seen.body or None,
            skip_auto_headers=("Content-Type",),
        ) as upstream:
            kept = {name: value for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            await response.prepare(request)
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                if seen.watch:
                    async for line in upstream.content:
                        if passed := await self._filtered(seen, line):
                            await response.write(passed)
                else:
                    async for chunk in upstream.content.iter_any():
                        await response.write(chunk)
            return response

    async def _filtered(self, seen: Seen, line: bytes) -> bytes:
        for rule in list(self._rules):
            if rule.line is not None and rule.matches(seen):
                rule.hits += 1
                rule.times -= rule.times > 0
                return await rule.line(line)
        return line
