"""What a decision about a stack may look at: frozen views of what the API server, Helm and the server itself say."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from runwright.ports import Json, Release, WantedRelease
from runwright.trackingstack.parts import Part

STATEFUL_SET: Final = "StatefulSet"
TRACKING_STACK: Final = "TrackingStack"
AUTHORITIES: Final = "ca.crt"
CERTIFICATE: Final = "tls.crt"
"""The two keys of a Secret whose values are looked at: certificates are no secret."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a stack or a part of it from working: a condition's reason, a sentence with the remedy."""

    reason: str
    message: str = ""
    stalled: bool = False
    """Whether it stays so until somebody changes something."""


def parse_time(text: str | None) -> datetime | None:
    """Read a timestamp of the API server; None for an absent one."""
    return datetime.fromisoformat(text) if text else None


def _owners(obj: Json) -> tuple[Json, ...]:
    return tuple(obj["metadata"].get("ownerReferences") or ())


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret: which keys it has, not what is in them."""

    name: str
    uid: str
    resource_version: str
    keys: frozenset[str]
    owners: tuple[Json, ...]
    authorities: str = ""
    """Its ``ca.crt``; ``""`` when there is none."""
    certificates: str = ""
    """Fingerprint of its certificate and authorities; ``""`` without any."""

    @classmethod
    def of(cls, obj: Json) -> "SecretView":
        """Read it from the API server's JSON."""
        meta, data = obj["metadata"], obj.get("data") or {}
        return cls(
            meta["name"],
            meta["uid"],
            meta["resourceVersion"],
            frozenset(name for name, value in data.items() if value),
            _owners(obj),
            _decoded(data.get(AUTHORITIES) or ""),
            _fingerprint([data.get(key) or "" for key in (CERTIFICATE, AUTHORITIES)]),
        )

    def doomed(self, uid: str) -> bool:
        """Whether it goes with another TrackingStack than the one of this uid: an earlier one of the same name."""
        owners = {owner["uid"] for owner in self.owners if owner["kind"] == TRACKING_STACK}
        return bool(owners) and uid not in owners


def _fingerprint(texts: Sequence[str]) -> str:
    return sha256("\n".join(texts).encode()).hexdigest() if any(texts) else ""


def _decoded(value: str) -> str:
    try:
        return b64decode(value, validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A StatefulSet or a Deployment."""

    name: str
    uid: str
    deleting: bool
    settled: bool
    """Whether its controller has seen the present specification."""
    replicas: int
    updated: int
    ready: int
    revision: str = ""
    """Revision that a StatefulSet's pods should have."""
    storage: str = ""
    """Size in a StatefulSet's claim template; ``""`` when it has none."""
    failure: str = ""
    """Why a Deployment cannot make its pods (a quota, a policy)."""

    @classmethod
    def of(cls, obj: Json) -> "WorkloadView":
        """Read it from the API server's JSON."""
        meta, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
        conditions = status.get("conditions") or ()
        failed: Json = next((c for c in conditions if c["type"] == "ReplicaFailure" and c["status"] == "True"), {})
        templates = spec.get("volumeClaimTemplates") or ()
        requests = templates[0]["spec"]["resources"]["requests"] if templates else {}
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            deleting="deletionTimestamp" in meta,
            settled=status.get("observedGeneration", 0) >= meta.get("generation", 0),
            replicas=spec.get("replicas", 1),
            updated=status.get("updatedReplicas", 0),
            ready=status.get("availableReplicas", 0),
            revision=status.get("updateRevision", ""),
            storage=str(requests.get("storage", "")),
            failure=failed.get("message", ""),
        )

    @property
    def complete(self) -> bool:
        """Whether all its pods are of the present specification and available."""
        return self.settled and not self.deleting and min(self.updated, self.ready) >= self.replicas


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container of a pod, init containers included."""

    name: str
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    """Of its present or last end; None when it never ended."""
    exit_reason: str = ""
    exit_message: str = ""

    @classmethod
    def of(cls, status: Json) -> "ContainerView":
        """Read it from a container status."""
        state = status.get("state") or {}
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
        return cls(
            name=status["name"],
            waiting_reason=waiting.get("reason", ""),
            waiting_message=waiting.get("message", ""),
            exit_code=ended.get("exitCode"),
            exit_reason=ended.get("reason", ""),
            exit_message=ended.get("message", "").strip(),
        )


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a part, or of its backup."""

    name: str
    uid: str
    created: datetime | None
    deleting: bool
    ready: bool
    phase: str
    revision: str
    """Of the StatefulSet that made it."""
    job: str
    """Job that made it; ``""`` for none."""
    unschedulable: str
    containers: tuple[ContainerView, ...]

    @classmethod
    def of(cls, obj: Json) -> "PodView":
        """Read it from the API server's JSON."""
        meta, status = obj["metadata"], obj.get("status") or {}
        conditions: dict[str, Any] = {c["type"]: c for c in status.get("conditions") or ()}
        scheduled = conditions.get("PodScheduled", {})
        statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        labels = meta.get("labels") or {}
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=parse_time(meta.get("creationTimestamp")),
            deleting="deletionTimestamp" in meta,
            ready=conditions.get("Ready", {}).get("status") == "True",
            phase=status.get("phase", "Pending"),
            revision=labels.get("controller-revision-hash", ""),
            job=labels.get("batch.kubernetes.io/job-name", ""),
            unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
            containers=tuple(map(ContainerView.of, statuses)),
        )


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A volume claim."""

    name: str
    uid: str
    deleting: bool
    bound: bool
    size: str
    storage_class: str
    owners: tuple[Json, ...]

    @classmethod
    def of(cls, obj: Json) -> "ClaimView":
        """Read it from the API server's JSON."""
        meta, spec = obj["metadata"], obj["spec"]
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            deleting="deletionTimestamp" in meta,
            bound=(obj.get("status") or {}).get("phase") == "Bound",
            size=str(spec["resources"]["requests"]["storage"]),
            storage_class=spec.get("storageClassName") or "",
            owners=_owners(obj),
        )

    def doomed(self, workload: WorkloadView | None) -> bool:
        """Whether it goes with a StatefulSet that is gone or going."""
        owners = {owner["uid"] for owner in self.owners if owner["kind"] == STATEFUL_SET}
        alive = workload is not None and not workload.deleting and workload.uid in owners
        return self.deleting or (bool(owners) and not alive)


@dataclass(frozen=True, slots=True)
class Failure:
    """What was refused last, and when it is tried again."""

    message: str
    retry_at: datetime
    count: int = 1
    """How often in a row."""
    forbidden: bool = False
    """Whether the operator lacks a right."""


@dataclass(frozen=True, slots=True)
class PartView:
    """A managed part."""

    wanted: WantedRelease
    asked_size: str = ""
    """Size that its volume should have; ``""`` for a part without one."""
    release: Release | None = None
    drift: tuple[str, ...] = ()
    """What of the release is absent or edited, where that was looked at."""
    workload: WorkloadView | None = None
    pods: tuple[PodView, ...] = ()
    claim: ClaimView | None = None
    failure: Failure | None = None
    """Of the installation of exactly these values."""
    growth_failure: Failure | None = None
    """Of the growth to this size."""

    @property
    def current(self) -> bool:
        """Whether what is wanted is installed, and nothing of it is missing as far as seen."""
        installed = self.release is not None and self.release.current
        return installed and self.workload is not None and not self.workload.deleting and not self.drift

    @property
    def works(self) -> bool:
        """Whether its pods are as wanted."""
        return self.workload is not None and self.workload.complete


@dataclass(frozen=True, slots=True)
class BackupView:
    """The backup's CronJob."""

    last_success: datetime | None = None
    running: bool = False
    failure: str = ""
    """Why the latest backup failed; ``""`` when it did not."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything a decision may look at; gathered by `observe.py`, never changed."""

    parts: Mapping[Part, PartView] = field(default_factory=dict)
    """The managed parts."""
    secrets: Mapping[str, SecretView] = field(default_factory=dict)
    """Those of the stack's Secrets that exist, by name."""
    answer: str | None = None
    """Why the server does not answer; ``""`` when it does, None when it was not asked."""
    backup: BackupView | None = None
    """None when no backup is asked for, or its CronJob does not exist yet."""
    refused: Problem | None = None
    """Why not even looking is possible; nothing else is known then."""
    failure: Failure | None = None
    """Of something other than an installation."""
