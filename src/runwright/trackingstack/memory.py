"""What one operator process remembers of stacks between passes: only what costs nothing to forget."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from runwright.errors import RefusedError
from runwright.ports import Json, Key
from runwright.trackingstack.observed import Failure
from runwright.trackingstack.parts import Part
from runwright.trackingstack.policies.rights import is_forbidden

FIRST_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 300.0
"""Between two tries of what was refused: helm takes a second of CPU, and a person some time to see."""


@dataclass(slots=True)
class StackMemory:
    """Mutable, one per stack."""

    uid: str
    drift_seen: datetime | None = None
    """When the live objects were last compared with what helm had made."""
    failures: dict[Part, tuple[Json, Failure]] = field(default_factory=dict)
    """Refused installations, with the values that were refused."""
    growth: dict[Part, tuple[str, Failure]] = field(default_factory=dict)
    """Refused growth of volumes, with the size that was refused."""
    other: Failure | None = None
    """Whatever else was refused last."""

    def failure_of(self, part: Part, values: Json) -> Failure | None:
        """The refusal of these very values."""
        refused, failure = self.failures.get(part, (None, None))
        return failure if refused == values else None

    def growth_failure_of(self, part: Part, size: str) -> Failure | None:
        """The refusal of this very size."""
        refused, failure = self.growth.get(part, ("", None))
        return failure if refused == size else None


class Memory:
    """All stacks."""

    def __init__(self) -> None:
        self._stacks: dict[Key, StackMemory] = {}

    def of(self, key: Key, uid: str) -> StackMemory:
        """What is remembered of a stack; nothing of an earlier one of the same name."""
        found = self._stacks.get(key)
        if found is None or found.uid != uid:
            found = self._stacks[key] = StackMemory(uid)
        return found

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a stack that is gone."""
        self._stacks.pop(key, None)


def failed(error: RefusedError, before: Failure | None, now: datetime) -> Failure:
    """Note a refusal: each in a row doubles the wait."""
    count = before.count + 1 if before is not None else 1
    wait = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(count - 1, 16))
    return Failure(str(error), now + timedelta(seconds=wait), count, is_forbidden(error))
