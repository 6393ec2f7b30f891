"""A lock file that several pods can share on a ReadWriteMany volume, and that outlives no crash for long.

It spares double downloads; it is not what keeps the data whole (`cache.py` is). So taking over from a pod that turns
out to live costs a download, not the data. Whether a holder lives is judged by the waiter's own clock: the holder
touches the file, and one that did not change for so long is left over.
"""

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

TOUCH_SECONDS: Final = 10.0
STALE_SECONDS: Final = 90.0
"""Longer than NFS keeps attributes (acregmax, 60 s), though opening the file asks the server anyway."""
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock.

    Attributes:
        run: uid of the TrainingRun.
        attempt: Number of its attempt.
        token: Of this process.
    """

    run: str = ""
    attempt: int = 0
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def outlived(self, by: "Owner") -> bool:
        """Whether `by` is a later attempt of the same run: attempts never overlap."""
        return bool(self.run) and self.run == by.run and self.attempt < by.attempt


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a lock is touched, when it counts as left over, how often a waiter looks; seconds."""

    touch: float = TOUCH_SECONDS
    stale: float = STALE_SECONDS
    look: float = LOOK_SECONDS


@dataclass(frozen=True, slots=True)
class _Seen:
    owner: Owner | None
    inode: int
    changed: int
    content: bytes


def _look(path: Path) -> _Seen | None:
    try:
        with path.open("rb") as file:  # opening makes NFS ask the server
            told, content = os.fstat(file.fileno()), file.read(4096)
    except FileNotFoundError:
        return None
    try:
        owner = Owner(**json.loads(content))
    except (ValueError, TypeError):
        owner = None  # made, and not yet written
    return _Seen(owner, told.st_ino, told.st_mtime_ns, content)


class Held:
    """A lock in hand."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = path
        self._owner = owner

    def still(self) -> bool:
        """Whether nobody took it over."""
        seen = _look(self._path)
        return seen is not None and seen.owner == self._owner


@contextmanager
def locked(path: Path, owner: Owner, timing: Timing, purpose: str) -> Iterator[Held]:
    """Hold a lock, after waiting for whoever holds it.

    Raises:
        OSError: The folder can't be written.
    """
    _acquire(path, owner, timing, purpose)
    held, ended = Held(path, owner), threading.Event()
    toucher = threading.Thread(target=_touch, args=(held, path, timing, ended), daemon=True)
    toucher.start()
    try:
        yield held
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            if held.still():
                path.unlink()


def _touch(held: Held, path: Path, timing: Timing, ended: threading.Event) -> None:
    while not ended.wait(timing.touch):
        with contextlib.suppress(OSError):
            if not held.still():
                return
            os.utime(path)


def _acquire(path: Path, owner: Owner, timing: Timing, purpose: str) -> None:
    last: _Seen | None = None
    since = time.monotonic()
    while not _create(path, owner):
        seen = _look(path)
        outlived = seen is not None and seen.owner is not None and seen.owner.outlived(owner)
        if seen != last:
            if seen and not outlived and (last is None or seen.owner != last.owner):
                log.info("%s: waiting for another pod that is filling the cache", purpose)
            last, since = seen, time.monotonic()
        if seen is not None and (outlived or time.monotonic() - since > timing.stale):
            log.info("%s: the pod that was filling the cache is gone; taking over", purpose)
            _clear(path, owner, seen)
            last = None
            continue
        time.sleep(timing.look)


def _create(path: Path, owner: Owner) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o664)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(json.dumps(asdict(owner)).encode())
    return True


def _clear(path: Path, owner: Owner, seen: _Seen) -> None:
    """Remove a lock that is left over; of two that do so at once, only one finds it."""
    aside = path.with_name(f"{path.name}.{owner.token}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if _look(aside) != seen:
            os.link(aside, path)  # it was a new one, made between the look and the rename: put it back
        aside.unlink()
