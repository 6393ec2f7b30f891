"""`ports.Cluster` over the API server: reads from the cache, live reads, and writes whose answers feed the cache."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from runwright.errors import ClusterUnavailableError, ConflictError, RefusedError
from runwright.kube.cache import Cache, version_of
from runwright.kube.client import LIST_SECONDS, Client, collection, item
from runwright.kube.events import EventPoster
from runwright.kube.watched import WATCHED
from runwright.names import FIELD_MANAGER, TRAINER_CONTAINER
from runwright.ports import EventNote, Json, Key, Kind

NOT_FOUND = 404
BAD_REQUEST = 400


class KubeCluster:
    """The API server as the kinds see it.

    Args:
        client: Sends requests.
        cache: Fed by watches and re-lists from outside, by answers from here.
        may_write: Tells whether this process still holds the Lease; asked before every write.
        instance: Who reports Events: the operator's pod name.
        learned: Called when a live read brought news of a watched kind: the watch event that follows is none any
            more, so somebody else must be told.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        may_write: Callable[[], bool] = lambda: True,
        instance: str = "",
        learned: Callable[[Kind, Json], None] = lambda *_: None,
    ) -> None:
        self._learned = learned
        self._client = client
        self._cache = cache
        self._may_write = may_write
        self._events = EventPoster(client, instance)
        self._poster: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start posting Events."""
        self._poster = asyncio.create_task(self._events.run(), name="events")

    async def aclose(self, seconds: float = 2.0) -> None:
        """Post the Events that wait, at most this long, and stop."""
        if self._poster is not None:
            await self._events.flush(seconds)
            self._poster.cancel()
            await asyncio.wait([self._poster])

    def cached(self, kind: Kind, key: Key) -> Json | None:
        """Return the cached object of a watched kind, or None."""
        return self._cache.get(kind, key)

    def owned(self, kind: Kind, run_uid: str) -> Sequence[Json]:
        """Return the cached JOBs or PODs of a run."""
        return self._cache.owned(kind, run_uid)

    async def get(self, kind: Kind, key: Key) -> Json | None:
        """Read live; None when absent. The answer replaces the cache entry of a watched kind."""
        before = self._cache.get(kind, key) if kind in WATCHED else None
        try:
            obj = await self._client.json("get", item(kind, key), resource=kind.plural)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            # A 404 carries no version: it says only that what was cached before the question is gone.
            if before is not None:
                self._cache.gone(kind, key, version_of(before))
            return None
        if kind in WATCHED and self._cache.seen(kind, obj):
            self._learned(kind, obj)
        return obj

    async def create(self, kind: Kind, obj: Json) -> Json:
        """POST; the answer enters the cache."""
        self._fence()
        answer = await self._client.json(
            "create",
            collection(kind, obj["metadata"].get("namespace", "")),
            resource=kind.plural,
            query={"fieldManager": FIELD_MANAGER},
            body=obj,
        )
        self._learn(kind, answer)
        return answer

    async def select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[Json]:
        """Read live the objects of a namespace that have all these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        pages = self._client.pages(kind, namespace=namespace, label_selector=selector)
        return [obj async for page in pages for obj in page["items"]]

    async def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        """JSON merge patch; the answer enters the cache."""
        self._fence()
        answer = await self._client.json(
            "patch", item(kind, key), resource=kind.plural, query={"fieldManager": FIELD_MANAGER}, body=change
        )
        self._learn(kind, answer)
        return answer

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        """DELETE in the background with a uid precondition; absent or another uid is success."""
        await self._delete(kind, key, uid, "Background")

    async def orphan(self, kind: Kind, key: Key, *, uid: str) -> None:
        """DELETE that leaves the dependents."""
        await self._delete(kind, key, uid, "Orphan")

    async def _delete(self, kind: Kind, key: Key, uid: str, propagation: str) -> None:
        self._fence()
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid},
        }
        try:
            answer = await self._client.json("delete", item(kind, key), resource=kind.plural, body=options)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            return
        except ConflictError:
            present = await self.get(kind, key)
            if present is not None and present["metadata"]["uid"] == uid:
                raise
            return
        if answer.get("kind") == kind.kind:  # still there, with a deletionTimestamp
            self._learn(kind, answer)

    async def apply_status(self, kind: Kind, obj: Json) -> Json:
        """Apply ``status`` with ``metadata.resourceVersion`` as the fence; the answer enters the cache.

        After a conflict the cache holds the present state already, so that deciding again is not in vain.
        """
        self._fence()
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "resourceVersion": metadata["resourceVersion"],
            },
            "status": obj["status"],
        }
        try:
            answer = await self._client.json(
                "apply",
                item(kind, key, "status"),
                resource=f"{kind.plural}/status",
                query={"fieldManager": FIELD_MANAGER, "force": "true"},
                body=body,
            )
        except ConflictError:
            await self.get(kind, key)
            raise
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            await self.get(kind, key)
            raise ConflictError(f"{kind.kind} {key} is gone") from error
        self._learn(kind, answer)
        return answer

    async def pod_log(self, key: Key, *, tail_lines: int | None = None, limit_bytes: int | None = None) -> str:
        """Read the log of the pod's ``trainer`` container; ``""`` when there is none (yet)."""
        query = {"container": TRAINER_CONTAINER}
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        if limit_bytes is not None:
            query["limitBytes"] = str(limit_bytes)
        try:
            data = await self._client.call(
                "get", item(Kind.POD, key, "log"), resource="pods/log", query=query, seconds=LIST_SECONDS
            )
        except RefusedError as error:
            # 404: no such pod; 400: the container has not started, or the pod never reached a node.
            if error.status in (NOT_FOUND, BAD_REQUEST):
                return ""
            raise
        return data.decode(errors="replace")

    async def last_log_time(self, key: Key) -> datetime | None:
        """Read when the pod's ``trainer`` container printed its last line; None when it has printed none."""
        query = {"container": TRAINER_CONTAINER, "tailLines": "1", "timestamps": "true", "limitBytes": "64"}
        try:
            data = await self._client.call(
                "get", item(Kind.POD, key, "log"), resource="pods/log", query=query, seconds=LIST_SECONDS
            )
        except RefusedError as error:
            if error.status in (NOT_FOUND, BAD_REQUEST):
                return None
            raise
        stamp = data.split(b" ", 1)[0].decode(errors="replace")
        try:
            found = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return found if found.tzinfo is not None else None

    async def post_event(self, kind: Kind, obj: Json, note: EventNote) -> None:
        """Queue an Event that regards `obj`."""
        self._events.post(kind, obj, note)

    def _learn(self, kind: Kind, obj: Json) -> None:
        if kind in WATCHED:
            self._cache.seen(kind, obj)

    def _fence(self) -> None:
        """Refuse to write without the Lease: a process that was paused may wake up after another took over."""
        if not self._may_write():
            raise ClusterUnavailableError("This operator does not hold the Lease any more; it writes nothing")
