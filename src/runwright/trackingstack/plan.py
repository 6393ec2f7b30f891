"""The vocabulary of decisions about a stack: actions, which of them side by side, and what they mean."""

from dataclasses import dataclass

from runwright.ports import Json, Key, WantedRelease
from runwright.trackingstack.parts import Part
from runwright.trackingstack.secrets import OwnSecret


@dataclass(frozen=True, slots=True)
class MakeSecret:
    """Make a Secret with drawn passwords, unless it is there."""

    secret: OwnSecret
    owners: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class OwnSecretBy:
    """Set the owners of a Secret, if it is unchanged since it was read."""

    key: Key
    resource_version: str
    owners: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class GrowClaim:
    """Ask for a larger volume."""

    part: Part
    key: Key
    uid: str
    size: str


@dataclass(frozen=True, slots=True)
class OrphanWorkload:
    """Delete a StatefulSet and leave its pod and volume."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod that stands in the way of its correction."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class Install:
    """Install, upgrade or repair a release."""

    part: Part
    wanted: WantedRelease
    repairs: tuple[str, ...] = ()
    """What was missing or edited, of a release that was as wanted."""


Action = MakeSecret | OwnSecretBy | GrowClaim | OrphanWorkload | DeletePod | Install


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what it means, and when to look again."""

    actions: tuple[Action, ...] = ()
    """They do not depend on each other."""
    requeue_after: float = 30.0
    """Seconds until the next look, when nothing is done now."""
