"""Leader election by a ``coordination.k8s.io`` Lease that is released on shutdown.

Kubernetes' own client has a leader election, but it does not release (the next operator would wait out the whole
duration), compares wall clocks, and speaks through generated models. The rules are those of client-go: a Lease
counts as expired when its record has not *changed* for its duration by our own monotonic clock, so that clock skew
between machines cannot make two leaders; the holder gives up when it could not renew for `renew_seconds`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from runwright.errors import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    RefusedError,
    RunwrightError,
    TransientError,
)
from runwright.kube.client import Client, collection, item
from runwright.ports import Json, Key, Kind

logger = logging.getLogger(__name__)

NOT_FOUND: Final = 404


class LeaseLostError(RunwrightError):
    """The Lease could not be renewed in time, or another holder took it: this process must stop now."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the values that client-go and controller-runtime default to."""

    duration: float = 15.0
    """After this long without a renewal others may take the Lease."""
    renew: float = 10.0
    """After this long without a successful renewal the holder stops."""
    retry: float = 2.0
    """Between tries to acquire or renew."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease's record and when this process first saw it so. Pure logic of who may take it."""

    record: tuple[str, str, int]
    """Holder, renewTime, transitions."""
    since: float

    @classmethod
    def of(cls, lease: Json, now: float, before: "Observed | None") -> "Observed":
        """Note the record; the time stays that of the first sight while nothing changes."""
        spec = lease.get("spec") or {}
        record = (spec.get("holderIdentity") or "", spec.get("renewTime") or "", spec.get("leaseTransitions") or 0)
        return before if before is not None and before.record == record else cls(record, now)

    def free(self, identity: str, duration: float, now: float) -> bool:
        """Tell whether `identity` may take the Lease now."""
        holder = self.record[0]
        return holder in ("", identity) or now - self.since > duration


class Lease:
    """One candidate for a Lease.

    Args:
        client: Reads and writes the Lease.
        key: Namespace and name of the Lease.
        identity: Who we are, unique per process start.
        timing: Seconds of duration, renewal and retry.
        owner: ownerReference of a Lease that is made: it goes with its owner.
        clock: Monotonic seconds.
        beat: Called after each renewal: proof of progress.
    """

    def __init__(
        self,
        client: Client,
        key: Key,
        identity: str,
        timing: Timing = Timing(),
        *,
        owner: Json | None = None,
        clock: Callable[[], float] = time.monotonic,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._key = key
        self._identity = identity
        self._timing = timing
        self._owners = [owner] if owner else []
        self._clock = clock
        self._beat = beat
        self._lease: dict[str, Any] | None = None
        self._observed: Observed | None = None
        self._renewed_at: float | None = None

    def held(self) -> bool:
        """Tell whether this process may act: it holds the Lease and renewed it recently enough."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._timing.renew

    async def acquire(self) -> None:
        """Wait until the Lease is ours.

        Raises:
            ConfigurationError: its namespace does not exist.
        """
        told = ""
        while not await self._try():
            holder = self._observed.record[0] if self._observed else ""
            if holder and holder != told:
                logger.info("Waiting for the Lease %s, held by %s", self._key, holder)
                told = holder
            self._beat()
            await asyncio.sleep(self._timing.retry * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
        logger.info("Holding the Lease %s as %s", self._key, self._identity)

    async def renew(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: it could not be renewed in time, or another holder has it.
        """
        while True:
            await asyncio.sleep(self._timing.retry)
            if not self.held():
                raise LeaseLostError(f"The Lease {self._key} could not be renewed for {self._timing.renew:g} s")
            remaining = self._timing.renew - (self._clock() - (self._renewed_at or 0.0))
            try:
                async with asyncio.timeout(remaining):
                    mine = await self._try()
            except TimeoutError:
                continue
            holder = self._observed.record[0] if self._observed else ""
            if not mine and holder not in ("", self._identity):
                self._renewed_at = None
                raise LeaseLostError(f"The Lease {self._key} is now held by {holder}")

    async def release(self) -> None:
        """Give the Lease back, so that the next operator starts at once; failures only cost it the wait."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            # Read anew: a renewal may have been cut off between its commit and its answer.
            lease = await self._read()
            spec = (lease or {}).get("spec") or {}
            if lease is None or spec.get("holderIdentity") != self._identity:
                return
            released = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            await self._put({**lease, "spec": released})
        except RunwrightError as error:
            logger.warning("The Lease %s was not released: %s", self._key, error)
        else:
            logger.info("Released the Lease %s", self._key)

    async def _try(self) -> bool:
        """Acquire or renew once; False when it is another's or the server did not answer."""
        started = self._clock()
        try:
            if self._renewed_at is None or self._lease is None:
                self._lease = await self._read()
            if self._lease is None:
                self._lease = await self._create()
            else:
                self._observed = Observed.of(self._lease, started, self._observed)
                if not self._observed.free(self._identity, self._timing.duration, started):
                    return False
                self._lease = await self._put(self._record(self._lease))
        except (ConflictError, AlreadyExistsError):
            self._lease = None  # someone else wrote: look again
            await self._look(started)
            return False
        except (TransientError, RefusedError) as error:
            # A right that is missing was told at the start; a server that just restarted refuses for a moment.
            logger.warning("The Lease %s: %s", self._key, error)
            return False
        self._observed = Observed.of(self._lease, started, self._observed)
        self._renewed_at = started  # when it was asked, not when it was answered: the server counts from there
        self._beat()
        return True

    async def _look(self, now: float) -> None:
        try:
            lease = await self._read()
        except (TransientError, RefusedError):
            return
        if lease is not None:
            self._observed = Observed.of(lease, now, self._observed)

    def _record(self, lease: Json) -> dict[str, Any]:
        spec = lease.get("spec") or {}
        now = _now()
        mine = spec.get("holderIdentity") == self._identity
        return {
            **lease,
            "spec": {
                **spec,
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._timing.duration),
                "acquireTime": (spec.get("acquireTime") if mine else None) or now,
                "renewTime": now,
                "leaseTransitions": (spec.get("leaseTransitions") or 0) + (0 if mine else 1),
            },
        }

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._client.json("get", item(Kind.LEASE, self._key), resource="leases")
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _create(self) -> dict[str, Any]:
        now = _now()
        body = {
            "apiVersion": Kind.LEASE.api_version,
            "kind": Kind.LEASE.kind,
            "metadata": {
                "name": self._key.name,
                "namespace": self._key.namespace,
                "ownerReferences": self._owners,
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._timing.duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        path = collection(Kind.LEASE, self._key.namespace)
        try:
            return await self._client.json("create", path, resource="leases", body=body)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            raise ConfigurationError(
                f"The namespace {self._key.namespace} for the operator's Lease does not exist: create it, or name "
                "another in RUNWRIGHT_LEASE_NAMESPACE"
            ) from error

    async def _put(self, body: Json) -> dict[str, Any]:
        return await self._client.json("update", item(Kind.LEASE, self._key), resource="leases", body=body)


def _now() -> str:
    """The wall clock as a Kubernetes MicroTime: for people, nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
