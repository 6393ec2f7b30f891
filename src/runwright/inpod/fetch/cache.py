"""A dataset in a cache claim: there whole or not at all, whoever fills it, and whenever they are killed.

    <claim>/runwright-datasets/<key>/
        lock                     who is filling (lock.py)
        partial-<listing>-<owner>/
            tree/...             complete files
            parts/...            files under way
        content/
            listing              the canonical listing (tree.py)
            complete.json        digest, bytes, files: the marker, written after everything else
            tree/...

The marker is written into ``partial-*`` when all files are there and their digest is known; then that folder is
renamed to ``content``. One rename publishes everything, so a folder called ``content`` is complete. Every filler works
in a folder of its own, so two that both believe to hold the lock disturb nobody; the second rename fails. Who takes
over renames the other's folder first: its owner, should it live, finds its paths gone.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.lock import Owner, Timing, locked
from runwright.inpod.fetch.tree import FileDigest, file_digest, listing, parse_listing, tree_digest

log = logging.getLogger(__name__)

FOLDER: Final = "runwright-datasets"
CONTENT: Final = "content"
MARKER: Final = "complete.json"
LISTING: Final = "listing"
TREE: Final = "tree"
PARTS: Final = "parts"


@dataclass(frozen=True, slots=True)
class Complete:
    """Data that is there, whole.

    Attributes:
        digest: As `tree.py` defines it.
        single: Whether it is one object's file.
        files: Its files.
        tree: Folder that holds them.
    """

    digest: str
    single: bool
    files: tuple[FileDigest, ...]
    tree: Path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def digest_of(files: Sequence[FileDigest], *, single: bool) -> str:
    """Return the digest of a single object's file, or of a folder."""
    return files[0].sha256 if single else tree_digest(files)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a filler works.

    Attributes:
        folder: Its own.
        present: Complete files of an earlier filler of the same listing.
    """

    folder: Path
    present: Mapping[str, FileDigest]

    @property
    def tree(self) -> Path:
        """Folder of the complete files."""
        return self.folder / TREE

    @property
    def parts(self) -> Path:
        """Folder of the files under way."""
        return self.folder / PARTS


class Entry:
    """One dataset's place in a cache.

    Args:
        cache: Mount of the claim.
        key: What the data is known by before it is there.
        owner: Who we are.
        timing: Of the lock.
    """

    def __init__(self, cache: Path, key: str, owner: Owner, timing: Timing | None = None) -> None:
        self._folder = cache / FOLDER / key
        self._owner = owner
        self._timing = timing or Timing()

    def find(self) -> Complete | None:
        """Return what is there, if it is whole: marker, listing and every file's size.

        Raises:
            OSError: The claim can't be read; then nothing is known, and nothing may be removed.
        """
        content = self._folder / CONTENT
        try:
            marker = json.loads((content / MARKER).read_bytes())
            raw = (content / LISTING).read_bytes()
            files = parse_listing(raw)
            whole = hashlib.sha256(raw).hexdigest() == marker["listing"] and all(
                (content / TREE / file.path).stat().st_size == file.size for file in files
            )
            found = Complete(marker["digest"], bool(marker["single"]), files, content / TREE)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        if not whole:
            return None
        with contextlib.suppress(OSError):
            os.utime(content / MARKER)  # lets administrators find what nobody uses
        return found

    def obtain(self, name: str, plan: str, sizes: Mapping[str, int], fill: Callable[[Workplace], Complete]) -> Complete:
        """Return the data, filled by us, or by another pod while we waited.

        Args:
            name: Of the dataset, for the log.
            plan: Hash of what will be downloaded; what an earlier filler left is taken up only if it is the same.
            sizes: Sizes of all files by path.
            fill: Downloads into a workplace and returns what is there then; not called if the data is whole already.

        Raises:
            FetchError: From `fill`; what it left is removed if it is wrong (see `discard`).
            OSError: The claim can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            with locked(self._folder / "lock", self._owner, self._timing, f"dataset {name}") as held:
                if found := self.find():
                    return found
                self._clear_damaged()
                try:
                    work = self._workplace(plan, sizes)
                    self._publish(work.folder, fill(work))
                except FileNotFoundError:
                    if held.still():
                        raise
                    log.info("dataset %s: another pod took over; waiting for it", name)
                    continue
                if found := self.find():
                    return found

    def discard(self) -> None:
        """Remove what we downloaded: it is not what was wanted."""
        for folder in self._folder.glob(f"partial-*-{self._owner.token}"):
            shutil.rmtree(folder, ignore_errors=True)

    def _clear_damaged(self) -> None:
        damaged = self._folder / f"damaged-{self._owner.token}"
        with contextlib.suppress(FileNotFoundError):
            (self._folder / CONTENT).rename(damaged)
            log.warning("the cache's copy in %s is damaged (files are missing or cut); fetching it again", self._folder)
        for one in self._folder.glob("damaged-*"):
            shutil.rmtree(one, ignore_errors=True)

    def _workplace(self, plan: str, sizes: Mapping[str, int]) -> Workplace:
        mine = self._folder / f"partial-{plan[:16]}-{self._owner.token}"
        for left in sorted(self._folder.glob("partial-*")):
            same = left.name.startswith(f"partial-{plan[:16]}-")
            if same and not mine.exists():
                left.rename(mine)
            else:
                shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(mine / PARTS, ignore_errors=True)
        (mine / TREE).mkdir(parents=True, exist_ok=True)
        present = {}
        for path, size in sizes.items():
            with contextlib.suppress(OSError):
                if (mine / TREE / path).stat().st_size == size:
                    present[path] = FileDigest(path, *file_digest(mine / TREE / path))
        return Workplace(mine, present)

    def _publish(self, folder: Path, done: Complete) -> None:
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        raw = listing(done.files)
        marker = {
            "version": 1,
            "digest": done.digest,
            "single": done.single,
            "bytes": done.size,
            "files": len(done.files),
        }
        marker["listing"] = hashlib.sha256(raw).hexdigest()
        _write(folder / LISTING, raw)
        _write(folder / MARKER, json.dumps(marker).encode())
        for directory in (*_folders(folder / TREE), folder):
            _sync(directory)
        try:
            folder.rename(self._folder / CONTENT)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            shutil.rmtree(folder, ignore_errors=True)  # another pod was faster, with the same data
            return
        _sync(self._folder)


def _folders(root: Path) -> Sequence[Path]:
    return [Path(folder) for folder, _, _ in os.walk(root, topdown=False)]


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse it for folders
            os.fsync(handle)
    finally:
        os.close(handle)


def link(done: Complete, target: Path) -> None:
    """Fill a folder with folders of the same names, and links to the files.

    Links to folders would be cheaper, but ``os.walk`` and ``Path.rglob`` don't follow them.

    Raises:
        OSError: It can't be written.
    """
    made: set[Path] = set()
    for file in done.files:
        place = target / file.path
        if place.parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(place.parent)
        try:
            place.symlink_to(done.tree / file.path)
        except FileExistsError:
            if place.is_dir() and not place.is_symlink():
                raise
            place.unlink()
            place.symlink_to(done.tree / file.path)


def plan_of(pairs: Sequence[tuple[str, int, str]]) -> str:
    """Return the hash of what is to be downloaded: (path, size, etag) of every object."""
    return hashlib.sha256(json.dumps(sorted(pairs)).encode()).hexdigest()
