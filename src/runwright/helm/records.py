"""Helm's records of a release, as its ConfigMap driver stores them. Pure: no I/O, no clock.

Each revision is a ConfigMap ``sh.helm.release.v1.NAME.vREVISION`` whose ``data.release`` is base64(gzip(JSON)) of the
release (helm v4, pkg/storage/driver/util.go and cfgmaps.go). Labels given to helm with ``--labels`` stand beside
helm's own and survive every rewrite by helm, whether the action succeeds or fails; ownerReferences do not.
"""

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from runwright.errors import RefusedError
from runwright.ports import Json, Release

LABEL_DIGEST: Final = "runwright.dev/release-digest"
"""What the revision was made of: see `runwright.helm.digest`."""
LABEL_OWNER: Final = "runwright.dev/owner-uid"
"""uid of the owner: stands on a record from its first moment, which no ownerReference does."""

SETTLED: Final = ("deployed", "superseded", "failed", "uninstalled")
"""States that helm goes on from; any other was left by a helm that was killed."""
UNLOCKED: Final = "Marked as failed by Runwright: helm was killed while this was {state}"
GZIP_MAGIC: Final = b"\x1f\x8b\x08"


@dataclass(frozen=True)
class Record:
    """One revision of a release, as stored."""

    config_map: Json

    @property
    def name(self) -> str:
        """Name of the ConfigMap."""
        return str(self._metadata["name"])

    @property
    def uid(self) -> str:
        """The ConfigMap's uid."""
        return str(self._metadata["uid"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the ConfigMap."""
        return self._metadata.get("labels") or {}

    @property
    def revision(self) -> int:
        """Number of the revision, from 1."""
        version = self.labels.get("version", "")
        return int(version) if version.isascii() and version.isdigit() else 0

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """What helm stored.

        Raises:
            RefusedError: it cannot be read.
        """
        try:
            body = decode((self.config_map.get("data") or {}).get("release", ""))
            _ = body["info"]["status"], body["version"], body["chart"]["metadata"]["name"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"Helm's record in ConfigMap {self.name} cannot be read ({error!r}): delete this ConfigMap"
            raise RefusedError(message) from error
        return body

    @property
    def state(self) -> str:
        """Helm's word for how it ended."""
        return str(self.body["info"]["status"])

    @property
    def manifest(self) -> str:
        """The objects as rendered: a stream of YAML documents."""
        return str(self.body.get("manifest") or "")

    def is_owned(self, owner: Json) -> bool:
        """Tell whether the record carries the ownerReference, or there is none to carry."""
        return not owner or any(reference.get("uid") == owner["uid"] for reference in self._owners)

    def is_foreign(self, owner: Json) -> bool:
        """Tell whether the record belongs to another object than `owner`: one of the same name that is gone."""
        if not owner:
            return False
        if uids := [reference.get("uid") for reference in self._owners if reference.get("kind") == owner["kind"]]:
            return owner["uid"] not in uids
        return self.labels.get(LABEL_OWNER) not in {None, owner["uid"]}

    def owned(self, owner: Json) -> Json:
        """Return the merge patch that adds the ownerReference; fenced by the resourceVersion."""
        return {"metadata": {**self._fence, "ownerReferences": [*self._owners, owner]}}

    def unlocked(self) -> Json:
        """Return the merge patch that marks the record as failed, so that helm goes on; fenced likewise."""
        body = {**self.body, "info": {**self.body["info"], "status": "failed"}}
        body["info"]["description"] = UNLOCKED.format(state=self.state)
        return {"metadata": {**self._fence, "labels": {"status": "failed"}}, "data": {"release": encode(body)}}

    @property
    def _metadata(self) -> Mapping[str, Any]:
        metadata: Mapping[str, Any] = self.config_map["metadata"]
        return metadata

    @property
    def _owners(self) -> Sequence[Json]:
        return self._metadata.get("ownerReferences") or ()

    @property
    def _fence(self) -> Json:
        return {"resourceVersion": self._metadata["resourceVersion"]}


def summary(records: Sequence[Record], *, digest: str, owner: Json) -> Release | None:
    """Say what the newest record says; None without records."""
    if not records:
        return None
    last = records[-1]
    info, chart = last.body["info"], last.body["chart"]["metadata"]
    made_of_it = last.labels.get(LABEL_DIGEST) == digest and last.state == "deployed"
    return Release(
        chart=chart["name"],
        version=chart.get("version", ""),
        app_version=chart.get("appVersion", ""),
        revision=last.body["version"],
        state=last.state,
        description=info.get("description", ""),
        # A record without its owner would outlive it: not as wanted, so that the next action puts it right.
        current=made_of_it and all(record.is_owned(owner) for record in records),
    )


def decode(data: str) -> dict[str, Any]:
    """Read what stands in ``data.release``.

    Raises:
        ValueError: it is no such thing.
    """
    try:
        raw = base64.b64decode(data, validate=True)
        body = json.loads(gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw)
    except (binascii.Error, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"not base64 of gzip of JSON: {error}") from error
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for all that is not a record
    return body


def encode(body: Json) -> str:
    """Write what `decode` and helm read; the same body gives the same text."""
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode()
