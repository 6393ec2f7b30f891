"""`ports.Releases`: installs and upgrades Helm releases of the project's charts.

Nothing here ever uninstalls: what a release made is owned by its owner and goes with it. Why it is done this way:
docs/adr/0006-helm-in-the-operator.md.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from runwright.errors import ClusterUnavailableError, ConflictError, RefusedError
from runwright.helm.digest import digest
from runwright.helm.live import Live
from runwright.helm.manifest import objects
from runwright.helm.process import Helm
from runwright.helm.records import LABEL_DIGEST, LABEL_OWNER, SETTLED, Record, summary
from runwright.kube.client import Client, as_yaml, item
from runwright.ports import Json, Key, Kind, Release, WantedRelease

logger = logging.getLogger(__name__)

HISTORY: Final = 5
"""Revisions kept."""
NOT_FOUND: Final = 404


class HelmReleases:
    """Helm releases.

    Args:
        client: Reads the records and the live objects, and gives records their owner.
        helm: The binary.
        charts: Folder of the charts.
        may_write: Tells whether this process still holds the Lease; asked before every write.
    """

    def __init__(
        self, client: Client, helm: Helm, charts: Path, *, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = client
        self._helm = helm
        self._charts = charts
        self._may_write = may_write
        self._live = Live(client)
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def find(self, wanted: WantedRelease) -> Release | None:
        """Read the last record of the release; None when there is none."""
        records = [one for one in await self._records(wanted.key) if not one.is_foreign(wanted.owner)]
        return summary(records, digest=self._digest(wanted), owner=wanted.owner)

    async def install(self, wanted: WantedRelease) -> Release:
        """Install or upgrade; does not wait for pods. A record left pending by a helm that was killed is healed first.

        Raises:
            ClusterUnavailableError: the API server or helm did not get through, or objects of an owner that is gone
                are not yet.
            RefusedError: helm or the API server refused; the message is helm's own, in one line.
        """
        async with self._locks.setdefault(wanted.key, asyncio.Lock()):
            try:
                return await self._install(wanted)
            except ConflictError as error:
                raise ClusterUnavailableError(f"Somebody else writes to the release {wanted.key}: {error}") from error

    async def drift(self, wanted: WantedRelease) -> Sequence[str]:
        """Name what of the release's manifest is absent from the cluster or was edited."""
        records = [one for one in await self._records(wanted.key) if not one.is_foreign(wanted.owner)]
        if not records:
            return ()
        return await self._live.drifted(_parsed(records[-1].manifest, wanted.key))

    async def _install(self, wanted: WantedRelease) -> Release:
        made_of = self._digest(wanted)
        records = await self._records(wanted.key)
        for record in records:
            if record.is_foreign(wanted.owner):
                await self._forget(wanted.key, record)
        kept = [record for record in records if not record.is_foreign(wanted.owner)]
        if not kept and wanted.owner:
            await self._wait_for_remains(wanted)
        elif kept and kept[-1].state not in SETTLED:
            logger.warning("Release %s was left %s; going on from there", wanted.key, kept[-1].state)
            await self._patch(wanted.key, kept[-1], kept[-1].unlocked())
        self._fence()
        failure: RefusedError | ClusterUnavailableError | None = None
        try:
            await self._upgrade_freed(wanted, made_of)
        except (RefusedError, ClusterUnavailableError) as error:
            failure = error
        try:
            records = await self._owned(wanted)
        finally:
            if failure is not None:
                raise failure
        release = summary(records, digest=made_of, owner=wanted.owner)
        if release is None:
            raise ClusterUnavailableError(f"The records of the release {wanted.key} vanished while it was installed")
        return release

    async def _upgrade_freed(self, wanted: WantedRelease, made_of: str) -> None:
        """Upgrade; where an edit of somebody stands in the way, take the object's fields over and try once more."""
        try:
            await self._upgrade(wanted, made_of)
        except RefusedError:
            records = await self._records(wanted.key)
            self._fence()
            freed = await self._live.free(_parsed(records[-1].manifest, wanted.key)) if records else ()
            if not freed:
                raise
            logger.warning(
                "Release %s: %s was edited so that helm cannot correct it; taking it over", wanted.key, freed
            )
            await self._upgrade(wanted, made_of)

    async def _upgrade(self, wanted: WantedRelease, made_of: str) -> None:
        labels = {LABEL_DIGEST: made_of} | ({LABEL_OWNER: wanted.owner["uid"]} if wanted.owner else {})
        await self._helm.run(
            "upgrade",
            wanted.key.name,
            str(self._charts / wanted.chart),
            "--install",
            f"--namespace={wanted.key.namespace}",
            f"--history-max={HISTORY}",
            "--labels=" + ",".join(f"{name}={value}" for name, value in labels.items()),
            "--reset-values",
            "--server-side=true",
            "--force-conflicts",  # what others edited is put right
            "--hide-notes",
            "--values=-",
            stdin=as_yaml(wanted.values),
        )

    async def _wait_for_remains(self, wanted: WantedRelease) -> None:
        """Refuse to take over what goes with its owner: a stack of the same name that was just deleted.

        Above all its StatefulSet: taken over, it would keep a volume that `deletionPolicy: Delete` promises to empty.
        """
        rendered = await self._helm.run(
            "template",
            wanted.key.name,
            str(self._charts / wanted.chart),
            f"--namespace={wanted.key.namespace}",
            "--no-hooks",
            "--values=-",
            stdin=as_yaml(wanted.values),
        )
        remains = await self._live.remains(_parsed(rendered, wanted.key), wanted.owner)
        if remains:
            raise ClusterUnavailableError(
                f"A deleted {wanted.owner['kind']} of the same name still owns {', '.join(remains)}: waiting until "
                "Kubernetes has removed that"
            )

    async def _owned(self, wanted: WantedRelease) -> Sequence[Record]:
        """Give every record its owner: helm drops ownerReferences from each record that it writes."""
        records = await self._records(wanted.key)
        missing = [record for record in records if not record.is_owned(wanted.owner)]
        for record in missing:
            await self._patch(wanted.key, record, record.owned(wanted.owner))
        return await self._records(wanted.key) if missing else records

    async def _records(self, key: Key) -> Sequence[Record]:
        """Read the records of a release, oldest first."""
        pages = self._client.pages(
            Kind.CONFIG_MAP, namespace=key.namespace, label_selector=f"owner=helm,name={key.name}"
        )
        records = [Record(obj) async for page in pages for obj in page.get("items") or ()]
        return sorted(records, key=lambda record: record.revision)

    async def _patch(self, key: Key, record: Record, change: Json) -> None:
        self._fence()
        path = item(Kind.CONFIG_MAP, Key(key.namespace, record.name))
        await self._client.json("patch", path, resource=Kind.CONFIG_MAP.plural, body=change)

    async def _forget(self, key: Key, record: Record) -> None:
        """Delete a record, unless that happened by itself."""
        self._fence()
        logger.info("Record %s/%s belongs to an owner that is gone; deleting it", key.namespace, record.name)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": record.uid}}
        path = item(Kind.CONFIG_MAP, Key(key.namespace, record.name))
        try:
            await self._client.json("delete", path, resource=Kind.CONFIG_MAP.plural, body=options)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise

    def _digest(self, wanted: WantedRelease) -> str:
        return digest(self._charts / wanted.chart, wanted.values)

    def _fence(self) -> None:
        if not self._may_write():
            raise ClusterUnavailableError("This operator does not hold the Lease any more; it writes nothing")


def _parsed(manifest: str, key: Key) -> Sequence[Json]:
    try:
        return objects(manifest, key)
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"The manifest of the release {key} cannot be read: {error}") from error
