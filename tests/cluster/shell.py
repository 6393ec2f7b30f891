"""Running programs and waiting for conditions."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_TAIL_LINES = 15
_POLL_SECONDS = 0.05


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    remedy: str = "",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said; `env` adds to this process's environment.

    Raises:
        ClusterError: With the last lines of its output, if it failed, is missing, or took more than `timeout` seconds.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except FileNotFoundError:
        raise ClusterError(f"{words[0]} is not installed", remedy) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{' '.join(words)}` did not end within {timeout:.0f} s", remedy) from None
    if check and done.returncode:
        said = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
        raise ClusterError(f"`{' '.join(words)}` ended with {done.returncode}:\n    {said}", remedy)
    return done


def wait_until(condition: Callable[[], bool], seconds: float, what: str, remedy: str = "") -> None:
    """Wait for a condition.

    Raises:
        ClusterError: If it does not hold within `seconds`.
    """
    if not eventually(condition, seconds):
        raise ClusterError(f"{what} did not happen within {seconds:.0f} s", remedy)


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait up to `seconds` for a condition; tell whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file: two testbed commands at once would undo each other's work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another testbed command (it holds {path})", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader or an interruption never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)
