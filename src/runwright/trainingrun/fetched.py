"""What the init container that fetches code and data says in its termination message (`runwright.inpod.fetch`)."""

import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Fetched:
    """The container's report; what it does not say is empty."""

    commit: str = ""
    ref: str = ""
    """Branch or tag that the revision named."""
    reason: str = ""
    """Why it failed, in CamelCase."""
    message: str = ""
    """Why it failed, for people."""
    retryable: bool = True

    @classmethod
    def of(cls, message: str) -> Self:
        """Read a termination message; one that is no report says nothing."""
        try:
            said = json.loads(message)
        except ValueError:
            return cls()
        git, error = _part(said, "git"), _part(said, "error")
        return cls(
            commit=str(git.get("commit") or ""),
            ref=str(git.get("ref") or ""),
            reason=str(error.get("reason") or ""),
            message=str(error.get("message") or ""),
            retryable=error.get("retryable") is not False,
        )


def _part(said: Any, name: str) -> dict[str, Any]:
    part = said.get(name) if isinstance(said, dict) else None
    return part if isinstance(part, dict) else {}
