"""Keeps the default TrackingStack as the administrator's manifest says.

A chart cannot hold an object of a kind that it introduces itself. So the chart `runwright` writes the manifest into a
ConfigMap, and the operator applies it with that ConfigMap as the owner: when the release goes, Kubernetes removes both.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from runwright.errors import ConfigurationError, RefusedError, RunwrightError
from runwright.kube.client import Client, item
from runwright.names import API_VERSION, GROUP
from runwright.ports import Cluster, EventNote, Json, Key, Kind

logger = logging.getLogger(__name__)

OWNER_ANNOTATION: Final = f"{GROUP}/config-map"
"""Name of the ConfigMap that a default stack's manifest came from: where to change it."""
FIELD_MANAGER: Final = "runwright-default-stack"
PERIOD_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 5.0
JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """The default stack as it should be."""

    key: Key
    config_map: str
    """Name of the ConfigMap that owns it, in the same namespace."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Json

    def manifest(self, owner: Json) -> Json:
        """Build the object, owned by the ConfigMap as it is now."""
        return {
            "apiVersion": API_VERSION,
            "kind": Kind.TRACKING_STACK.kind,
            "metadata": {
                "name": self.key.name,
                "namespace": self.key.namespace,
                "labels": self.labels,
                "annotations": self.annotations,
                "ownerReferences": [_reference(owner)],
            },
            "spec": self.spec,
        }


def read(path: Path) -> Wanted:
    """Read the manifest that the chart wrote.

    Raises:
        ConfigurationError: the file cannot be read or is not such a manifest.
    """
    try:
        found = yaml.safe_load(path.read_text())
        metadata = found["metadata"]
        return Wanted(
            Key(metadata["namespace"], metadata["name"]),
            metadata["annotations"][OWNER_ANNOTATION],
            metadata.get("labels") or {},
            metadata["annotations"],
            found.get("spec") or {},
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"RUNWRIGHT_DEFAULT_STACK_FILE={path}: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"RUNWRIGHT_DEFAULT_STACK_FILE={path}: is no manifest of a TrackingStack with a namespace and the "
            f"annotation {OWNER_ANNOTATION}"
        ) from error


class DefaultStack:
    """Applies the default stack, and again when it vanished or was edited.

    Args:
        client: Applies.
        cluster: Holds the watched TrackingStacks; reads live; posts Events.
        wanted: The stack.
        may_write: Tells whether this process holds the Lease.
    """

    def __init__(
        self, client: Client, cluster: Cluster, wanted: Wanted, *, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._wanted = wanted
        self._may_write = may_write
        self._applied = False
        self._owner: Json | None = None
        self._told = ""

    async def run(self) -> None:
        """Keep it until cancelled; a refusal is told once, and everything is tried again."""
        while True:
            pause = PERIOD_SECONDS
            try:
                await self.once()
                self._told = ""
            except RefusedError as error:
                await self._tell(str(error))
            except RunwrightError as error:
                logger.warning("The default stack %s waits: %s", self._wanted.key, error)
                pause = RETRY_SECONDS
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - jitter

    async def once(self) -> None:
        """Apply the stack unless it is as it should be, is being deleted, or its release is gone.

        Raises:
            RefusedError: the API server refuses it, or another's object has its name.
            ClusterUnavailableError: try again.
        """
        key = self._wanted.key
        present = self._cluster.cached(Kind.TRACKING_STACK, key)
        if present is None:
            present = await self._cluster.get(Kind.TRACKING_STACK, key)
        if present is not None and (self._settled(present) or "deletionTimestamp" in present["metadata"]):
            return
        self._owner = await self._cluster.get(Kind.CONFIG_MAP, Key(key.namespace, self._wanted.config_map))
        if self._owner is None or "deletionTimestamp" in self._owner["metadata"] or not self._may_write():
            return
        await self._client.json(
            "apply",
            item(Kind.TRACKING_STACK, key),
            resource=Kind.TRACKING_STACK.plural,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=self._wanted.manifest(self._owner),
        )
        logger.info("Applied the default stack %s as the ConfigMap %s has it", key, self._wanted.config_map)
        self._applied = True
        # Where the namespace is not watched, nothing else would bring it into the cache soon.
        await self._cluster.get(Kind.TRACKING_STACK, key)

    def _settled(self, present: Json) -> bool:
        annotations = present["metadata"].get("annotations") or {}
        if annotations.get(OWNER_ANNOTATION) != self._wanted.config_map:
            raise RefusedError(
                f"a TrackingStack {self._wanted.key} that is not this release's is there already: set "
                "defaultStack.create=false to use it as it is, or name another in defaultStack.name"
            )
        # The first time even what looks right is applied: what the manifest no longer has must go.
        return self._applied and _within(self._wanted.spec, present.get("spec") or {})

    async def _tell(self, message: str) -> None:
        """Tell once: in the log, and as an Event on the ConfigMap, where `kubectl describe` shows it."""
        if message == self._told:
            return
        self._told = message
        logger.error("The default stack %s is refused: %s", self._wanted.key, message)
        if self._owner is not None:
            await self._cluster.post_event(
                Kind.CONFIG_MAP, self._owner, EventNote("Warning", "DefaultStackRefused", message)
            )


def _reference(owner: Json) -> Json:
    return {
        "apiVersion": Kind.CONFIG_MAP.api_version,
        "kind": Kind.CONFIG_MAP.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }


def _within(part: Any, whole: Any) -> bool:
    """Tell whether everything in `part` is so in `whole`; what others added beside it is theirs."""
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(name in whole and _within(value, whole[name]) for name, value in part.items())
    return bool(part == whole)
