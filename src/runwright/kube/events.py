"""Posts Kubernetes Events in the background: best effort, bounded, never in the way of a reconcile."""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from runwright.errors import RunwrightError
from runwright.kube.cache import key_of
from runwright.kube.client import Client, collection
from runwright.ports import EventNote, Json, Kind

logger = logging.getLogger(__name__)

CAPACITY: Final = 1000
MAX_MESSAGE: Final = 1024
"""The API server refuses longer messages (core/v1 Event validation: 1 kB)."""
MAX_NAME: Final = 253 - 1 - 32
"""Room for the object's name before ``.<32 hex digits>``."""
COMPONENT: Final = "runwright"


class EventPoster:
    """A bounded queue of Events and the task that posts them one by one.

    Args:
        client: Posts.
        instance: Who reports: the operator's pod name.
    """

    def __init__(self, client: Client, instance: str) -> None:
        self._client = client
        self._instance = instance
        self._pending: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue(CAPACITY)

    def post(self, kind: Kind, obj: Json, note: EventNote) -> None:
        """Queue an Event that regards `obj`; when the queue is full, the Event is lost and the loss is logged."""
        body = event(kind, obj, note, instance=self._instance, now=datetime.now(UTC))
        try:
            self._pending.put_nowait((key_of(obj).namespace, body))
        except asyncio.QueueFull:
            logger.warning("Event %s about %s is dropped: %d wait already", note.reason, key_of(obj), CAPACITY)

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            namespace, body = await self._pending.get()
            try:
                await self._post(namespace, body)
            finally:
                self._pending.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until what is queued is posted, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._pending.join()
        except TimeoutError:
            logger.warning("%d Events are lost: they could not be posted in time", self._pending.qsize())

    async def _post(self, namespace: str, body: Mapping[str, Any]) -> None:
        try:
            await self._client.call("create", collection(Kind.EVENT, namespace), resource=Kind.EVENT.plural, body=body)
        except RunwrightError as error:
            logger.warning("Event %s is lost: %s", body["reason"], error)


def event(kind: Kind, obj: Json, note: EventNote, *, instance: str, now: datetime) -> Mapping[str, Any]:
    """Build a core/v1 Event about an object."""
    key = key_of(obj)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": Kind.EVENT.api_version,
        "kind": Kind.EVENT.kind,
        "metadata": {"name": f"{key.name[:MAX_NAME]}.{uuid.uuid4().hex}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": obj["metadata"].get("uid", ""),
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message if len(note.message) <= MAX_MESSAGE else note.message[: MAX_MESSAGE - 3] + "...",
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }
