"""The live objects of a release: what is missing, what was edited, what still belongs to a stack that is gone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from runwright.errors import ConflictError, RefusedError
from runwright.helm.manifest import FIELD_MANAGER, lasting, owned_by_helm, title
from runwright.kube.client import Client
from runwright.kube.discovery import Discovery
from runwright.ports import Json

T = TypeVar("T")

AT_ONCE: Final = 8
"""Objects looked at side by side: a release has about five."""


class Live:
    """Reads and compares the objects of releases."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def drifted(self, wanted: Sequence[Json]) -> Sequence[str]:
        """Name the objects that are absent or that helm would change now, in order."""
        answers = await self._each(wanted, self._is_drifted)
        return tuple(title(obj) for obj, drifted in zip(wanted, answers, strict=True) if drifted)

    async def remains(self, wanted: Sequence[Json], owner: Json) -> Sequence[str]:
        """Name the objects that belong to another object of the owner's kind: it is gone, they will go."""

        async def is_foreign(obj: Json) -> bool:
            live = await self._get(obj)
            references = (live or {"metadata": {}})["metadata"].get("ownerReferences") or ()
            uids = [reference["uid"] for reference in references if reference["kind"] == owner["kind"]]
            return bool(uids) and owner["uid"] not in uids

        answers = await self._each(wanted, is_foreign)
        return tuple(title(obj) for obj, foreign in zip(wanted, answers, strict=True) if foreign)

    async def free(self, wanted: Sequence[Json]) -> Sequence[str]:
        """Make helm the owner of every field of objects whose correction the API server refuses as invalid.

        An edit of a list's key adds an element beside helm's own: both together may be invalid (two ports of one
        name), and helm may not take away what is not its own. kubectl moves fields to server-side apply the same way
        (client-go, util/csaupgrade).

        Returns:
            The names of the objects that were changed.
        """

        async def one(obj: Json) -> bool:
            live = await self._get(obj)
            if live is None or (fields := owned_by_helm(live["metadata"].get("managedFields") or ())) is None:
                return False
            path, plural = await self._path(obj)
            if not await self._is_refused(obj):
                return False
            fence = {"resourceVersion": live["metadata"]["resourceVersion"], "managedFields": fields}
            await self._client.json("patch", path, resource=plural, body={"metadata": fence})
            return True

        answers = await self._each(wanted, one)
        return tuple(title(obj) for obj, freed in zip(wanted, answers, strict=True) if freed)

    async def _each(self, wanted: Sequence[Json], ask: Callable[[Json], Awaitable[T]]) -> Sequence[T]:
        async def one(obj: Json) -> T:
            async with self._slots:
                return await ask(obj)

        # After a failure of one the others are waited for: a request that is cut off costs its connection.
        answers = await asyncio.gather(*(one(obj) for obj in wanted), return_exceptions=True)
        found: list[T] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
        return found

    async def _path(self, obj: Json) -> tuple[str, str]:
        found = await self._discovery.resource(obj["apiVersion"], obj["kind"])
        return found.item(obj["metadata"]["namespace"], obj["metadata"]["name"]), found.plural

    async def _get(self, obj: Json) -> Json | None:
        path, plural = await self._path(obj)
        try:
            return await self._client.json("get", path, resource=plural)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    async def _is_drifted(self, obj: Json) -> bool:
        live = await self._get(obj)
        if live is None:
            return True
        try:
            applied = await self._dry_run(obj)
        except ConflictError:  # it was changed or deleted at this moment
            return True
        return applied is None or lasting(applied) != lasting(live)

    async def _is_refused(self, obj: Json) -> bool:
        return await self._dry_run(obj) is None

    async def _dry_run(self, obj: Json) -> Json | None:
        """What helm would make of the object; None when the API server refuses that as invalid."""
        path, plural = await self._path(obj)
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All"}
        try:
            return await self._client.json("apply", path, resource=plural, query=query, body=obj)
        except RefusedError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            return None
