"""kopf's side: watches with `on.event` handlers that hand each event over. kopf writes nothing."""

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, cast

import kopf

from runwright.kube.connection import Connection
from runwright.kube.watched import SELECTORS, WATCHED
from runwright.operator.streams import Streams
from runwright.ports import Json, Kind

Receive = Callable[[Kind, str | None, Json], None]
"""Takes an event: kind, type (None for the initial list), object."""

LOGIN: Final = "runwright"


def build_registry(connection: Connection, streams: Streams, receive: Receive) -> kopf.OperatorRegistry:
    """Register one handler per watched kind, and our own HTTP session as the login.

    Args:
        connection: Where the API server is and who we are.
        streams: Notes the watches' signs of life.
        receive: Takes every event.
    """
    registry = kopf.OperatorRegistry()
    for kind in WATCHED:
        group, _, version = kind.api_version.rpartition("/")
        kopf.on.event(group, version, kind.plural, id=kind.plural, registry=registry)(_handler(kind, receive))

    @kopf.on.login(id=LOGIN, registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # A new session each time: kopf closes the one it has before it asks again (after a 401).
        return kopf.AiohttpSession(server=connection.server, aiohttp_session=connection.session(streams.listen))

    return registry


def _handler(kind: Kind, receive: Receive) -> Callable[..., Awaitable[None]]:
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        receive(kind, event["type"], cast("Json", event["object"]))

    return on_event


def build_settings() -> kopf.OperatorSettings:
    """Settings under which kopf watches for ever, filtered by the server, and writes nothing."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True  # no watch of all CRDs and namespaces: fewer rights, less traffic
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    for kind in WATCHED:
        group, _, version = kind.api_version.rpartition("/")
        selector = SELECTORS[kind]
        if selector.label:
            settings.watching.label_selectors[group, version, kind.plural] = selector.label
        if selector.field:
            settings.watching.field_selectors[group, version, kind.plural] = selector.field
    settings.watching.chunk_size = 500
    # Streams end on the server's side first, and not all operators' at once.
    settings.watching.server_timeout = random.randrange(240, 300)  # noqa: S311 - jitter
    settings.watching.client_timeout = 360
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Backoffs()
    settings.queueing.idle_timeout = 1.0  # a worker per object that had an event: keep few of them
    settings.process.ultimate_exiting_timeout = 30
    return settings


class _Backoffs:
    """Seconds between a request's tries: jittered, capped, endless, since kopf dies of a LIST that gives up.

    kopf iterates the object anew for each request.
    """

    def __iter__(self) -> Iterator[float]:
        seconds = 0.5
        while True:
            yield seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            seconds = min(10.0, seconds * 2)


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf copies and compares every object for handlers of changes; we have none, so there is nothing to build."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("kopf must not write to objects")


class _NoProgress(kopf.ProgressStorage):
    """Progress of handlers of changes, of which we have none."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("kopf must not write to objects")

    def purge(self, **_: Any) -> None:
        raise NotImplementedError("kopf must not write to objects")

    def touch(self, **_: Any) -> None:
        raise NotImplementedError("kopf must not write to objects")

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
