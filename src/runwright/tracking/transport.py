"""HTTP to one MLflow server: time-outs, retries, circuit breaker, errors of ours."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from json import dumps
from typing import Any, Final

import aiohttp
from yarl import URL

from runwright import sockets
from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Json, TrackingServer
from runwright.tracking import answers, metrics, tls
from runwright.tracking.breaker import BreakerSettings, CircuitBreaker
from runwright.tracking.credentials import (
    REREAD_SECONDS,
    Credentials,
    CredentialsError,
    SecretReader,
    no_secrets,
)

UPLOAD: Final = "artifacts"
READS: Final = frozenset({"runs/search", "runs/get", "experiments/search", "metrics/get-history"})
ATTEMPTS: Final = 3
"""Tries of a call that may be repeated; what a short restart of the server takes is left to the caller's queue."""
RETRY_SECONDS: Final = (0.2, 0.6)
"""Mean pauses before the second and third try; each is jittered by half."""
DENIED: Final = frozenset({401, 403})
"""Statuses that a changed Secret may explain; nothing was carried out."""
TIMEOUT_WEIGHT: Final = 2
"""A hanging server holds callers for the whole time-out, so it counts more than a refused connection."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Limits of the conversation with one server; seconds."""

    connect_seconds: float = 3.0
    total_seconds: float = 10.0
    """p95 of a search over 100 runs is 0.28 s; ten is a server in trouble."""
    upload_seconds: float = 60.0
    keepalive_seconds: float = 3.0
    """uvicorn closes idle connections after 5 s without a word; ours must be gone before."""
    concurrency: int = 8
    """MLflow runs one worker with a pool of threads; more in flight only makes the time-outs start earlier."""
    read_concurrency: int = 4
    """Reads are few, being shared, and must not queue behind a thousand new runs: polling would go blind."""
    upload_concurrency: int = 4
    trust_env: bool = False
    """Whether HTTP_PROXY and friends apply. Off: the server is normally a Service of the same cluster, and the
    proxy that an operator's pod has for the outside world does not know cluster names."""
    reread_seconds: float = REREAD_SECONDS
    """Least time between two readings of the login's Secret that the server's refusals cause."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class Transport:
    """Sends one call; everything that can go wrong becomes `TrackerUnavailableError` or `RefusedError`."""

    def __init__(
        self,
        server: TrackingServer,
        settings: ClientSettings,
        *,
        read_secret: SecretReader = no_secrets,
        on_request: Callable[[str], None] = lambda _call: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_request = on_request
        self._ca_bundle = server.ca_bundle
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._writes = asyncio.Semaphore(settings.concurrency)
        self._reads = asyncio.Semaphore(settings.read_concurrency)
        self._uploads = asyncio.Semaphore(settings.upload_concurrency)
        self.breaker = CircuitBreaker(settings.breaker, clock=clock)
        uri = server.uri
        try:
            self._base = URL(uri.rstrip("/"))
            self.name = str(self._base.with_user(None)) if self._base.user else uri.rstrip("/")
        except ValueError:
            self._base, self.name = URL(), uri
        if self._base.scheme not in {"http", "https"} or not self._base.host:
            raise RefusedError(f"trackingUri {uri!r} is not an http(s) URL such as http://mlflow.example:5000")
        self._login: Credentials | None = None
        if server.operator_secret is not None:
            self._base = self._base.with_user(None)  # one login is enough
            self._login = Credentials(
                server.operator_secret, read_secret, self.name, reread_seconds=settings.reread_seconds, clock=clock
            )

    async def aclose(self) -> None:
        """Close the connections; every later call is refused as unavailable."""
        self._closed = True
        if self._session is not None:
            await sockets.close(self._session)

    async def call(
        self,
        method: str,
        name: str,
        *,
        json: Json | None = None,
        params: Mapping[str, str] | None = None,
        repeatable: bool = True,
        early: bool = False,
    ) -> dict[str, Any]:
        """Call ``/api/2.0/mlflow/<name>`` and return the answer's JSON.

        Args:
            method: HTTP method.
            name: ``runs/search`` and such.
            json: Body.
            params: Query.
            repeatable: A second execution does no harm, so an unclear outcome may be tried again.
            early: Ask even while the circuit is open, unless somebody else is asking.
        """
        request = _Request(
            call=name,
            method=method,
            url=(self._base / "api/2.0/mlflow" / name).with_query(params),
            # UTF-8 as it is: escapes would make six bytes of two, and MLflow limits the bytes.
            body=b"" if json is None else dumps(json, ensure_ascii=False).encode(errors="replace"),
            content_type="application/json",
            seconds=self._settings.total_seconds,
            attempts=ATTEMPTS if repeatable else 1,
            early=early,
        )
        async with self._reads if name in READS else self._writes:
            return await self._guarded(request)

    async def put(self, path: str, content: bytes) -> None:
        """Store `content` at `path` below the artifact proxy's root."""
        request = _Request(
            call=UPLOAD,
            method="PUT",
            url=(self._base / "api/2.0/mlflow-artifacts/artifacts").joinpath(*path.split("/")),
            body=content,
            content_type="application/octet-stream",
            seconds=self._settings.upload_seconds,
            attempts=ATTEMPTS,
        )
        async with self._uploads:
            await self._guarded(request)

    async def _guarded(self, request: "_Request") -> dict[str, Any]:
        call = request.call
        # An upload says little about the tracking API (the artifact proxy fails when the object store does) and may
        # take a minute, so it neither probes nor counts.
        upload = call == UPLOAD
        ticket = self.breaker.admit(may_probe=not upload, early=request.early)
        if ticket is None:
            metrics.REQUESTS.labels(call, "rejected").inc()
            raise TrackerUnavailableError(self.breaker.problem or f"MLflow at {self.name} is being probed")
        try:
            answer = await self._attempts(request, 1 if self.breaker.is_probe(ticket) else request.attempts)
        except RefusedError:
            self._answered(ticket, upload=upload)
            metrics.REQUESTS.labels(call, "refused").inc()
            raise
        except _FailedError as error:
            if upload:
                self.breaker.abandoned(ticket)
            else:
                self.breaker.failed(ticket, str(error), weight=error.weight)
            metrics.REQUESTS.labels(call, "unavailable").inc()
            raise TrackerUnavailableError(str(error)) from error.__cause__
        except BaseException:
            self.breaker.abandoned(ticket)
            raise
        self._answered(ticket, upload=upload)
        metrics.REQUESTS.labels(call, "ok").inc()
        return answer

    def _answered(self, ticket: int, *, upload: bool) -> None:
        if upload:
            self.breaker.abandoned(ticket)
        else:
            self.breaker.succeeded(ticket)

    async def _attempts(self, request: "_Request", attempts: int) -> dict[str, Any]:
        for attempt in range(1, attempts + 1):
            try:
                return await self._once(request)
            except _FailedError as error:
                if attempt == attempts or not error.retry:
                    raise
                # A connection that the server had just closed as idle: a fresh one will do, at once.
                if not (error.reset and attempt == 1):
                    pause = RETRY_SECONDS[attempt - 1]
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter, not a secret
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, request: "_Request") -> dict[str, Any]:
        try:
            authorization = await self._authorization()
            answer = await self._send(request, authorization)
            if answer.status in DENIED and self._login is not None and await self._login.renewed(authorization):
                answer = await self._send(request, await self._authorization())
            return answers.parsed(
                self.name,
                answer.host,
                request.call,
                answer.status,
                answer.location,
                answer.body,
                login=str(self._login.secret) if self._login is not None else "",
            )
        except CredentialsError as error:
            raise _FailedError(str(error), retry=False, weight=self._settings.breaker.threshold) from error
        except answers.BadAnswerError as error:
            weight = self._settings.breaker.threshold if error.everywhere else 1
            raise _FailedError(str(error), retry=error.retry, weight=weight) from error

    async def _authorization(self) -> str:
        return await self._login.header() if self._login is not None else ""

    async def _send(self, request: "_Request", authorization: str) -> "_Answer":
        self._on_request(request.call)
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=request.seconds, sock_connect=self._settings.connect_seconds)
        headers = {"Content-Type": request.content_type} if request.body else {}
        if authorization:
            headers["Authorization"] = authorization
        try:
            async with self._open().request(
                request.method,
                request.url,
                data=BytesIO(request.body) if request.body else None,  # in pieces, and a fresh one per try
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                metrics.SECONDS.labels(request.call).observe(time.monotonic() - started)
                host = response.request_info.headers.get("Host", "")
                return _Answer(response.status, host, response.headers.get("Location", ""), body)
        except TimeoutError as error:
            what = f"no answer within {request.seconds:g} s"
            raise self._failed(what, retry=False, weight=TIMEOUT_WEIGHT) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise self._failed("its host name does not resolve; check trackingUri") from error
        except aiohttp.ClientSSLError as error:
            raise self._failed(tls.problem(error, self._base.host or ""), retry=False) from error
        except tls.BadBundleError as error:
            weight = self._settings.breaker.threshold
            raise _FailedError(f"MLflow at {self.name}: {error}", retry=False, weight=weight) from error
        except aiohttp.ClientConnectorError as error:
            # Not the exception's own words: they hold addresses, which would make the sentence change.
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else "no address answers"
            raise self._failed(f"cannot connect ({reason})") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError) as error:
            raise self._failed("the connection was closed", reset=True) from error
        except aiohttp.ClientError as error:
            raise self._failed(f"unusable answer ({type(error).__name__})") from error

    def _failed(self, what: str, *, retry: bool = True, weight: int = 1, reset: bool = False) -> "_FailedError":
        return _FailedError(f"MLflow at {self.name} does not answer: {what}", retry=retry, weight=weight, reset=reset)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise _FailedError(f"MLflow at {self.name} belongs to no TrackingStack any more", retry=False)
        if self._session is None:
            settings = self._settings
            own = self._ca_bundle and self._base.scheme == "https"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=settings.keepalive_seconds,
                    ssl=tls.context(self._ca_bundle) if own else True,
                ),
                trust_env=settings.trust_env,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "runwright"},
            )
        return self._session


@dataclass(frozen=True, slots=True)
class _Request:
    call: str
    method: str
    url: URL
    body: bytes
    content_type: str
    seconds: float
    attempts: int
    early: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    host: str
    location: str
    body: bytes


class _FailedError(Exception):
    def __init__(self, message: str, *, retry: bool, weight: int = 1, reset: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
        self.weight = weight
        self.reset = reset
