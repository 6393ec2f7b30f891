"""The operator's side of the launcher's termination message."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Told:
    """What the launcher says about its script's end."""

    exit_code: int | None
    """The script's own exit code (128 + n for signal n); the container's may be 143 instead. None: it never began."""
    terminated: bool
    """It got SIGTERM while the script ran."""
    done: bool
    """The script wrote the done file: its exit code counts, SIGTERM or not."""
    out_of_memory: bool
    """The kernel killed a process of the container for its memory limit."""
    log: str
    """Path of the uploaded log below the run's artifacts; ``""`` when it was not uploaded."""
    problem: str
    """Why the log was not uploaded."""
    resumed_from: str
    checkpoint: str
    """Path of the newest complete checkpoint at the end."""
    checkpoint_step: int | None
    checkpoint_time: datetime | None
    message: str
    """What the script itself wrote as termination message, or why it could not be started."""
    tail: str
    """The last lines of output."""

    @classmethod
    def of(cls, message: str) -> Self | None:
        """Read a container's termination message; None when it is not the launcher's."""
        try:
            said = json.loads(message)
        except ValueError:
            return None
        if not isinstance(said, dict) or said.get("runwright") != 1:
            return None
        log, checkpoint = _fields(said, "log"), _fields(said, "checkpoint")
        changed, step, code = checkpoint.get("time"), checkpoint.get("step"), said.get("exitCode")
        return cls(
            exit_code=code if isinstance(code, int) else None,
            terminated=said.get("terminated") is True,
            done=said.get("done") is True,
            out_of_memory=bool(said.get("outOfMemory")),
            log=str(log.get("path", "")),
            problem=str(said.get("problem", "")),
            resumed_from=str(said.get("resumedFrom", "")),
            checkpoint=str(checkpoint.get("path", "")),
            checkpoint_step=step if isinstance(step, int) else None,
            checkpoint_time=_time(changed),
            message=str(said.get("message", "")),
            tail=str(said.get("tail", "")),
        )


def _time(seconds: object) -> datetime | None:
    """Read seconds since 1970; what a script forged may be any number."""
    if not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _fields(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}
