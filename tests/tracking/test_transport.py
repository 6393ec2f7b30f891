"""The conversation with a server that misbehaves: a real HTTP server on loopback, told what to do wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import TrackingServer
from runwright.tracking import transport as module
from runwright.tracking.breaker import BreakerSettings, State
from runwright.tracking.transport import ClientSettings, Transport

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers each request by the next of `script`, the last one for ever."""

    def __init__(self) -> None:
        self.script: list[Handler] = [ok]
        self.requests: list[web.Request] = []
        self.uri = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await request.read()
        return await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(request)


async def ok(_request: web.Request) -> web.Response:
    return web.json_response({"fine": True})


async def unavailable(_request: web.Request) -> web.Response:
    return web.json_response({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "no database"}, status=503)


async def refused(_request: web.Request) -> web.Response:
    return web.json_response({"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}, status=400)


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"runs": [')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.uri = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def transport(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transport]:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.001, 0.001))
    made = Transport(
        TrackingServer(server.uri), ClientSettings(total_seconds=0.3, breaker=BreakerSettings(first_seconds=60))
    )
    yield made
    await made.aclose()


@pytest.mark.parametrize("wrong", [unavailable, hang_up, half])
async def test_what_may_be_repeated_is(server: Server, transport: Transport, wrong: Handler) -> None:
    server.script = [wrong, wrong, ok]
    assert await transport.call("POST", "runs/search", json={}) == {"fine": True}
    assert len(server.requests) == 3
    assert transport.breaker.state is State.CLOSED


@pytest.mark.parametrize("wrong", [unavailable, hang_up, half])
async def test_what_may_not_be_repeated_is_not(server: Server, transport: Transport, wrong: Handler) -> None:
    server.script = [wrong, ok]
    with pytest.raises(TrackerUnavailableError):
        await transport.call("POST", "runs/create", json={}, repeatable=False)
    assert len(server.requests) == 1


async def test_refusals_are_answers(server: Server, transport: Transport) -> None:
    server.script = [refused]
    for _ in range(10):
        with pytest.raises(RefusedError):
            await transport.call("POST", "runs/update", json={})
    assert len(server.requests) == 10
    assert transport.breaker.problem == ""


async def test_a_canceled_call_leaves_the_breaker_usable(server: Server, transport: Transport) -> None:
    never, asked = asyncio.Event(), asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        asked.set()
        await never.wait()
        return web.Response()

    server.script = [hang, ok]
    task = asyncio.create_task(transport.call("GET", "runs/get"))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await transport.call("GET", "runs/get") == {"fine": True}
    never.set()


async def test_a_failing_object_store_does_not_close_the_tracking_api(server: Server, transport: Transport) -> None:
    async def broken_store(request: web.Request) -> web.Response:
        return web.Response(status=500) if "mlflow-artifacts" in request.path else await ok(request)

    server.script = [broken_store]
    for _ in range(5):
        with pytest.raises(TrackerUnavailableError):
            await transport.put("1/r/artifacts/logs/x.log", b"x")
    assert await transport.call("GET", "runs/get") == {"fine": True}
    assert transport.breaker.problem == ""


async def test_redirects_are_not_followed(server: Server, transport: Transport) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    server.script = [redirect]
    with pytest.raises(TrackerUnavailableError, match=r"redirects to http://169\.254\.169\.254/"):
        await transport.call("GET", "runs/get")
    assert len(server.requests) == 1


async def test_bodies_are_utf8_json_and_paths_are_quoted(server: Server, transport: Transport) -> None:
    bodies: list[bytes] = []

    async def keep(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return await ok(request)

    server.script = [keep]
    await transport.call("POST", "runs/log-batch", json={"v": "é\ud800"})
    await transport.put("1/r/artifacts/a b/50%?#é.log", b"log")
    assert bodies == ['{"v": "é?"}'.encode(), b"log"]
    assert server.requests[0].content_type == "application/json"
    assert server.requests[1].path == "/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/a b/50%?#é.log"


async def test_no_more_calls_are_under_way_than_the_server_takes(server: Server) -> None:
    busy, most = 0, 0

    async def count(request: web.Request) -> web.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.002)
        busy -= 1
        return await ok(request)

    server.script = [count]
    limited = Transport(TrackingServer(server.uri), ClientSettings(concurrency=3))
    await asyncio.gather(*(limited.call("POST", "runs/create") for _ in range(30)))
    await limited.aclose()
    assert most == 3


async def test_reads_do_not_queue_behind_writes(server: Server) -> None:
    gate = asyncio.Event()

    async def slow_writes(request: web.Request) -> web.Response:
        if request.path.endswith("runs/create"):
            await gate.wait()
        return await ok(request)

    server.script = [slow_writes]
    transport = Transport(TrackingServer(server.uri), ClientSettings(concurrency=2))
    writes = [asyncio.create_task(transport.call("POST", "runs/create")) for _ in range(10)]
    assert await transport.call("POST", "runs/search") == {"fine": True}
    gate.set()
    await asyncio.gather(*writes)
    await transport.aclose()


@pytest.mark.parametrize("uri", ["mlflow:5000", "ftp://mlflow", "", "http://", "sqlite:///x.db", "http://a:b:c"])
async def test_a_uri_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(RefusedError, match="is not an http"):
        Transport(TrackingServer(uri), ClientSettings())


async def test_names_that_do_not_resolve_and_credentials_in_uris() -> None:
    transport = Transport(TrackingServer("http://user:secret@mlflow.invalid:5000/"), ClientSettings())
    with pytest.raises(TrackerUnavailableError) as raised:
        await transport.call("GET", "runs/get", repeatable=False)
    await transport.aclose()
    told = "MLflow at http://mlflow.invalid:5000 does not answer: its host name does not resolve; check trackingUri"
    assert str(raised.value) == told
