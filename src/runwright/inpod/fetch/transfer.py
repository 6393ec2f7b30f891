"""Objects to files: ranges side by side, each retried from the byte it broke off at, hashed when complete."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.patience import Patience
from runwright.inpod.fetch.problems import TroubleError
from runwright.inpod.fetch.progress import Progress
from runwright.inpod.fetch.s3 import Bucket, ChangedError, RemoteFile
from runwright.inpod.fetch.setting import Pace
from runwright.inpod.fetch.tree import FileDigest, file_digest

JOIN_SECONDS: Final = 0.2
"""How often the main thread looks for signals."""


@dataclass
class _File:
    remote: RemoteFile
    partial: Path
    parts_left: int
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class _Part:
    file: _File
    start: int
    end: int


class Transfer:
    """One download of many objects into one folder.

    Args:
        bucket: Where from.
        tree: Folder of the files; a file appears in it when it is complete.
        partial: Folder of the files under way, on the same file system.
        uri_field: Field that errors name.
        progress: Told of every byte.
        pace: How.
    """

    def __init__(
        self, bucket: Bucket, tree: Path, partial: Path, uri_field: str, progress: Progress, pace: Pace
    ) -> None:
        self._bucket = bucket
        self._tree = tree
        self._partial = partial
        self._field = uri_field
        self._progress = progress
        self._pace = pace
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._done: dict[str, FileDigest] = {}

    def run(self, files: Sequence[RemoteFile], present: Mapping[str, FileDigest]) -> tuple[FileDigest, ...]:
        """Download what is not `present`; returns all files' digests.

        Raises:
            ChangedError: An object changed under way.
            FetchError: The service refuses, or nothing came for too long.
            OSError: A file can't be written.
        """
        self._done |= present
        self._partial.mkdir(parents=True, exist_ok=True)
        parts = self._parts([file for file in files if file.path not in present])
        # Daemons: after SIGTERM nobody waits for a socket.
        threads = [
            threading.Thread(target=self._work, args=(parts,), daemon=True) for _ in range(self._pace.parallelism)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(JOIN_SECONDS)
        finally:
            self._stop.set()
        if self._failure is not None:
            raise self._failure
        return tuple(self._done[file.path] for file in files)

    def _parts(self, files: Sequence[RemoteFile]) -> Iterator[_Part]:
        size = self._pace.part_bytes
        for number, remote in enumerate(files):
            starts = range(0, max(remote.size, 1), size)
            file = _File(remote, self._partial / str(number), len(starts))
            with file.partial.open("wb") as empty:
                empty.truncate(remote.size)
            for start in starts:
                yield _Part(file, start, min(start + size, remote.size))

    def _work(self, parts: Iterator[_Part]) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    part = next(parts, None)
                if part is None:
                    return
                self._load(part)
                with part.file.lock:
                    part.file.parts_left -= 1
                    last = part.file.parts_left == 0
                if last and not self._stop.is_set():
                    self._finish(part.file)
        except BaseException as error:  # noqa: BLE001  # it is raised again, in the main thread
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()

    def _load(self, part: _Part) -> None:
        at = part.start
        patience = Patience(self._field, self._pace.retry_seconds, self._stop)
        with part.file.partial.open("r+b", buffering=0) as file:
            while at < part.end and not self._stop.is_set():
                try:
                    for chunk in self._bucket.read(part.file.remote, at, part.end):
                        written = 0
                        while written < len(chunk):
                            written += os.pwrite(file.fileno(), chunk[written:], at + written)
                        at += len(chunk)
                        patience.progressed()
                        self._progress.add(len(chunk))
                        if self._stop.is_set():
                            return
                except ChangedError:
                    raise
                except TroubleError as trouble:
                    patience.after(trouble)

    def _finish(self, file: _File) -> None:
        size, sha256 = file_digest(file.partial)
        if self._pace.durable:
            with file.partial.open("rb") as done:
                os.fsync(done.fileno())
        target = self._tree / file.remote.path
        target.parent.mkdir(parents=True, exist_ok=True)
        file.partial.rename(target)
        with self._lock:
            self._done[file.remote.path] = FileDigest(file.remote.path, size, sha256)
