"""A thin asynchronous client: plain JSON in and out, over the official package's asyncio side.

No model classes: parsing one Job into them costs ten times `json.loads`, and what the server sent must not change
on its way through us. HTTP errors become `runwright.errors` here and nowhere else.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from runwright.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    ConflictError,
    RefusedError,
    RunwrightError,
)
from runwright.kube.connection import Connection
from runwright.ports import Json, Key, Kind

REQUEST_SECONDS: Final = 10.0
LIST_SECONDS: Final = 30.0
"""A chunk of 500 objects may take the server long; everything else is one object."""
CHUNK: Final = 500
"""Objects per page of a LIST: flat memory on both sides (client-go's pager uses the same)."""
TRIES: Final = 3
MAX_RETRY_AFTER: Final = 10.0
"""Longest ``Retry-After`` obeyed while holding a worker; beyond it the work queue's back-off waits instead."""
MAX_MESSAGE: Final = 1024
USER_AGENT: Final = "runwright-operator"

Observe = Callable[[str, str, int, float], None]
"""Called after each request: verb, resource, HTTP status (0 when there was no answer), seconds."""


class ExpiredError(RunwrightError):
    """HTTP 410: the continue token of a LIST is too old; start over."""


class Client:
    """Requests to the API server.

    Reads are repeated a few times on connection errors, 429 and 5xx. A write is repeated only where the server
    certainly did not carry it out (no connection, 429); after an ambiguous failure the caller must look first.
    """

    def __init__(self, connection: Connection, observe: Observe = lambda *_: None) -> None:
        self.connection = connection
        self._api = ApiClient(connection.configuration)
        self._observe = observe

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]
        await self.connection.close()

    async def call(
        self,
        verb: str,
        path: str,
        *,
        resource: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """Send one request and return the answer's body.

        Args:
            verb: Kubernetes verb: get, list, create, update, delete, patch (JSON merge patch), apply (server-side).
            path: Path below the server's address.
            resource: Plural name, for metrics and messages.
            query: Query parameters.
            body: JSON body.
            seconds: Time-out of one try.

        Raises:
            ClusterUnavailableError: no usable answer; worth retrying.
            ConflictError: 409.
            AlreadyExistsError: 409 on a create.
            ExpiredError: 410.
            RefusedError: any other 4xx.
        """
        url = f"{self.connection.server}{path}" + (f"?{urlencode(query)}" if query else "")
        attempt = 1
        while True:
            answer = await self._try(verb, resource, url, body, seconds)
            if isinstance(answer, bytes):
                return answer
            wait = max(answer.wait, 0.1 * 2**attempt)
            if not answer.repeatable or attempt >= TRIES or wait > MAX_RETRY_AFTER:
                raise answer.error
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            attempt += 1

    async def _try(self, verb: str, resource: str, url: str, body: object, seconds: float) -> "bytes | _Failure":
        method, content_type = _METHODS[verb]
        headers = {"Content-Type": content_type, "Accept": "application/json, */*", "User-Agent": USER_AGENT}
        timeout = aiohttp.ClientTimeout(total=seconds)
        if verb == "apply":
            body = as_yaml(body)
        started, status = time.monotonic(), 0
        try:
            response = await self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            data: bytes = await response.read()  # type: ignore[no-untyped-call]
            status = response.status
        except aiohttp.ClientConnectorError as failure:  # nothing was sent
            message = f"No connection to the API server {self.connection.server}: {failure}"
            return _Failure(ClusterUnavailableError(message), repeatable=True)
        except TimeoutError:  # a worker has waited long enough
            message = f"No answer to {verb} {resource} within {seconds:g} s"
            return _Failure(ClusterUnavailableError(message), repeatable=False)
        except (aiohttp.ClientError, OSError) as failure:
            message = f"The connection broke during {verb} {resource}: {failure!r}"
            return _Failure(ClusterUnavailableError(message), repeatable=method == "GET")
        finally:
            self._observe(verb, resource, status, time.monotonic() - started)
        if status < HTTPStatus.BAD_REQUEST:
            return data
        # After a 401 the credentials are read again.
        refused_unseen = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
        error = _error(verb, resource, status, data)
        repeatable = refused_unseen or (method == "GET" and isinstance(error, ClusterUnavailableError))
        return _Failure(error, repeatable=repeatable, wait=_seconds(response.headers.get("Retry-After")))

    async def json(self, verb: str, path: str, **options: Any) -> dict[str, Any]:
        """Send one request and parse the answer; see `call`."""
        answer = json.loads(await self.call(verb, path, **options))
        if not isinstance(answer, dict):
            raise RefusedError(f"The API server answered {verb} {path} with something other than an object")
        return answer

    async def pages(
        self, kind: Kind, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[Json]:
        """LIST a kind in chunks; yields each page as received (all pages carry the same ``resourceVersion``).

        Raises:
            ExpiredError: a page came too late for its continue token.
        """
        query = {"limit": str(CHUNK)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        while True:
            page = await self.json(
                "list", collection(kind, namespace), resource=kind.plural, query=query, seconds=LIST_SECONDS
            )
            yield page
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try gave no answer, whether another is harmless, and how long the server wants it to wait."""

    error: RunwrightError
    repeatable: bool
    wait: float = 0.0


def collection(kind: Kind, namespace: str = "") -> str:
    """Path of a kind's objects, of one namespace or of all."""
    where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{kind.path}{where}/{kind.plural}"


def item(kind: Kind, key: Key, subresource: str = "") -> str:
    """Path of one object; `key.namespace` is empty for cluster-scoped kinds."""
    tail = f"/{subresource}" if subresource else ""
    return f"{collection(kind, key.namespace)}/{quote(key.name, safe='')}{tail}"


_METHODS: Final[Mapping[str, tuple[str, str]]] = {
    "get": ("GET", "application/json"),
    "list": ("GET", "application/json"),
    "create": ("POST", "application/json"),
    "update": ("PUT", "application/json"),
    "delete": ("DELETE", "application/json"),
    # The charset keeps the official client from writing the body as JSON; the server cuts it off.
    "apply": ("PATCH", "application/apply-patch+yaml; charset=utf-8"),
    "patch": ("PATCH", "application/merge-patch+json"),
}


def as_yaml(body: object) -> str:
    """Write a JSON value as YAML that means the same.

    JSON is YAML but for its characters: YAML has no surrogate pairs (which is how ``json.dumps`` escapes what lies
    beyond U+FFFF) and refuses or folds control characters that JSON lets through. Training logs contain both.
    """
    return _UNPRINTABLE.sub(_escaped, json.dumps(body, ensure_ascii=False))


# What YAML 1.2 (5.1, 5.4) does not print or takes for a line break, and a byte order mark.
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Half a surrogate pair is no character at all; U+FFFD stands for what cannot be told.
    return f"\\u{0xFFFD if 0xD800 <= code <= 0xDFFF else code:04x}"  # noqa: PLR2004 - the surrogates


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or 0)
    except ValueError:  # an HTTP date: the API server never sends one, a proxy may
        return 1.0


def _error(verb: str, resource: str, status: int, data: bytes) -> RunwrightError:
    """Convert an HTTP error with its Status object."""
    reason, message = "", data[:MAX_MESSAGE].decode(errors="replace").strip()
    try:
        answer = json.loads(data)
    except ValueError:
        pass
    else:
        if isinstance(answer, dict) and answer.get("kind") == "Status":
            reason, message = answer.get("reason") or "", answer.get("message") or message
    text = f"{verb} {resource}: {message[:MAX_MESSAGE] or f'HTTP {status}'}"
    match status:
        case 401:
            return ClusterUnavailableError(f"The API server refuses the credentials (HTTP 401): {text}")
        case 409:
            if verb == "create" and reason != "Conflict":
                return AlreadyExistsError(text)
            return ConflictError(text)
        case 410:
            return ExpiredError(text)
        case 429:
            return ClusterUnavailableError(f"The API server asks to slow down: {text}")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ClusterUnavailableError(f"The API server failed (HTTP {status}): {text}")
        case _:
            return RefusedError(text, status=status)
