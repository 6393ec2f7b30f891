"""What the API server was last seen to hold. Pure: no I/O, no clock.

Three writers race: watch events, the answers to our own requests, and re-lists. One rule settles every order of
theirs: an older ``resourceVersion`` never replaces a newer one, and a removal is remembered with its version, so
that a late event cannot bring back what is gone. Resource versions are compared as integers, which the API
guarantees since Kubernetes 1.35 (KEP-5504) and etcd always did.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runwright.kube.watched import WATCHED, keeps
from runwright.names import LABEL_RUN_UID
from runwright.ports import Json, Key, Kind

MAX_TOMBSTONES: Final = 10_000
"""Removals remembered. Each matters only while answers and events from before it are in flight: moments."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a re-list found that events had not told."""

    changed: Sequence[Json] = ()
    vanished: Sequence[Json] = ()
    """Ghosts, as last seen."""


def key_of(obj: Json) -> Key:
    """Namespace and name of an object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def version_of(obj: Json) -> int:
    """``metadata.resourceVersion`` of an object or a list."""
    return int(obj["metadata"]["resourceVersion"])


class Cache:
    """The newest known state of every watched object.

    Args:
        keeps: Tells whether an object belongs into the cache; one that does not any more is removed.
        max_tombstones: How many removals are remembered.

    Attributes:
        replaced: Called with an object whose name was taken by another uid: its removal went unnoticed.
    """

    def __init__(self, keeps: Callable[[Kind, Json], bool] = keeps, *, max_tombstones: int = MAX_TOMBSTONES) -> None:
        self.replaced: Callable[[Kind, Json], None] = lambda *_: None
        self._keeps = keeps
        self._max_tombstones = max_tombstones
        self._objects: dict[Kind, dict[Key, Json]] = {kind: {} for kind in WATCHED}
        self._owned: dict[tuple[Kind, str], dict[Key, Json]] = {}
        self._tombstones: OrderedDict[tuple[Kind, Key], int] = OrderedDict()
        self._floors: dict[tuple[Kind, str], int] = {}

    def get(self, kind: Kind, key: Key) -> Json | None:
        """Return an object as last seen, or None."""
        return self._objects[kind].get(key)

    def owned(self, kind: Kind, run_uid: str) -> Sequence[Json]:
        """Return the objects labelled with a run's uid."""
        return tuple(self._owned.get((kind, run_uid), {}).values())

    def all(self, kind: Kind) -> Sequence[Json]:
        """Return every object of a kind."""
        return tuple(self._objects[kind].values())

    def seen(self, kind: Kind, obj: Json) -> bool:
        """Take in a state of an object, from wherever; tell whether it was news."""
        key, version = key_of(obj), version_of(obj)
        old = self._objects[kind].get(key)
        if old is not None and version_of(old) >= version:
            return False
        if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
            self.replaced(kind, old)
        if not self._keeps(kind, obj):
            return self.gone(kind, key, version)
        if old is None and self._known_absent(kind, key) >= version:
            return False
        self._tombstones.pop((kind, key), None)
        self._unindex(kind, key, old)
        slim = _without_managed_fields(obj)
        self._objects[kind][key] = slim
        if uid := _run_uid(slim):
            self._owned.setdefault((kind, uid), {})[key] = slim
        return True

    def gone(self, kind: Kind, key: Key, version: int) -> bool:
        """Take in that at `version` an object did not exist, or was none of ours; tell whether it was news."""
        old = self._objects[kind].get(key)
        if old is not None and version_of(old) > version:
            return False
        known = self._known_absent(kind, key) >= version
        self._bury(kind, key, version)
        if old is None:
            return not known
        self._unindex(kind, key, old)
        del self._objects[kind][key]
        return True

    def relisted(self, kind: Kind, items: Iterable[Json], version: int, namespace: str = "") -> Difference:
        """Take in a complete LIST made at `version`, of one namespace or of all.

        What is cached, not listed and older than the list is a ghost: its DELETED event was lost.
        """
        changed: list[Json] = []
        listed: set[Key] = set()
        for obj in items:
            listed.add(key_of(obj))
            if self.seen(kind, obj):
                changed.append(obj)
        vanished = [
            obj
            for key, obj in self._objects[kind].items()
            if key not in listed and (not namespace or key.namespace == namespace) and version_of(obj) <= version
        ]
        for obj in vanished:
            self.gone(kind, key_of(obj), version)
        floor = (kind, namespace)
        self._floors[floor] = max(version, self._floors.get(floor, -1))
        return Difference(changed, vanished)

    def _known_absent(self, kind: Kind, key: Key) -> int:
        """The newest version at which an object that is not cached is known not to have existed."""
        return max(
            self._tombstones.get((kind, key), -1),
            self._floors.get((kind, ""), -1),  # the last LIST, which did not show it
            self._floors.get((kind, key.namespace), -1),
        )

    def _bury(self, kind: Kind, key: Key, version: int) -> None:
        grave = (kind, key)
        self._tombstones[grave] = max(version, self._tombstones.get(grave, -1))
        self._tombstones.move_to_end(grave)
        while len(self._tombstones) > self._max_tombstones:
            self._tombstones.popitem(last=False)

    def _unindex(self, kind: Kind, key: Key, obj: Json | None) -> None:
        uid = _run_uid(obj) if obj is not None else None
        if uid is None:
            return
        siblings = self._owned.get((kind, uid), {})
        siblings.pop(key, None)
        if not siblings:
            self._owned.pop((kind, uid), None)


def _run_uid(obj: Json) -> str | None:
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels.get(LABEL_RUN_UID)


def _without_managed_fields(obj: Json) -> Json:
    """Drop ``metadata.managedFields``: up to half of an object's size, and nobody here reads it."""
    metadata: Mapping[str, Any] = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
