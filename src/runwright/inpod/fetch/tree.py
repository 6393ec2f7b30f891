"""Trees of files: which S3 keys may become paths, and the digest of a file or of a folder.

The digest of one file is the SHA-256 of its bytes. The digest of a folder is the SHA-256 of its *listing*: the line
``runwright-tree-v1`` and a line feed, then for each regular file, in the order of the relative path's UTF-8 bytes,

    path NUL size NUL sha256 LF

with ``/`` between the parts of the path, the size in bytes as decimal digits, and the SHA-256 of the content as 64
lower-case hexadecimal digits. Empty folders, permissions and times don't count. No path holds a NUL and the other two
columns hold neither NUL nor LF, so different trees have different listings.
"""

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runwright.errors import RunwrightError

HEADER: Final = b"runwright-tree-v1\n"
NAME_MAX: Final = 255
"""Bytes of one part of a path (limits.h NAME_MAX on Linux file systems)."""
PATH_MAX: Final = 3500
"""Bytes of a whole relative path; leaves room for the mount's own below Linux' 4096."""
CHUNK_BYTES: Final = 2**20


class UnsafePathError(RunwrightError):
    """A key or name that must not, or cannot, become a path; the message says why."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One line of a listing."""

    path: str
    size: int
    sha256: str


def safe_path(text: str) -> str:
    """Return `text` if it is a relative path that stays below its root and means one file only.

    Raises:
        UnsafePathError: It is empty, absolute, has empty, ``.`` or ``..`` parts, a NUL, or is too long.
    """
    raw = _utf8(text)
    if "\0" in text:
        raise UnsafePathError(f"{text!r} holds a NUL")
    if text.startswith("/"):
        raise UnsafePathError(f"{text!r} is absolute")
    if len(raw) > PATH_MAX:
        raise UnsafePathError(f"{text[:60]!r}... is longer than {PATH_MAX} bytes")
    for part in text.split("/"):
        if part in {"", ".", ".."}:
            raise UnsafePathError(f"{text!r} has a part {part!r}")
        if len(part.encode()) > NAME_MAX:
            raise UnsafePathError(f"{text[:60]!r}... has a part longer than {NAME_MAX} bytes")
    return text


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnsafePathError(f"{text!r} is not valid Unicode") from None


def check_tree(paths: Iterable[str]) -> None:
    """Check that paths can exist beside each other.

    Raises:
        UnsafePathError: One is there twice, or is a file and the folder of another.
    """
    # In this order a folder's files follow it directly but for names between "a" and "a/": compare by parts.
    ordered = sorted(path.split("/") for path in paths)
    for one, following in itertools.pairwise(ordered):
        if one == following[: len(one)]:
            what = "is there twice" if one == following else f"is a file, and a folder in {'/'.join(following)!r}"
            raise UnsafePathError(f"{'/'.join(one)!r} {what}")


def listing(files: Iterable[FileDigest]) -> bytes:
    """Return the canonical listing, as the module describes it."""
    ordered = sorted((file.path.encode(), file) for file in files)
    lines = (b"%s\0%d\0%s\n" % (raw, file.size, file.sha256.encode()) for raw, file in ordered)
    return HEADER + b"".join(lines)


def parse_listing(raw: bytes) -> tuple[FileDigest, ...]:
    """Read what `listing` wrote.

    Raises:
        ValueError: It is not a listing.
    """
    if not raw.startswith(HEADER):
        raise ValueError("not a listing of version 1")
    found, position = [], len(HEADER)
    while position < len(raw):
        end = raw.index(b"\0", position)
        path = raw[position:end].decode()
        size, _, digest = raw[end + 1 : raw.index(b"\n", end)].partition(b"\0")
        found.append(FileDigest(path, int(size), digest.decode()))
        position = raw.index(b"\n", end) + 1
    return tuple(found)


def tree_digest(files: Iterable[FileDigest]) -> str:
    """Return the digest of a folder with these files."""
    return hashlib.sha256(listing(files)).hexdigest()


def file_digest(path: str | Path) -> tuple[int, str]:
    """Return size and SHA-256 of one file."""
    total, digest = 0, hashlib.sha256()
    with Path(path).open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            total += len(chunk)
    return total, digest.hexdigest()


def digest(path: Path) -> str:
    """Return the digest of a file, or of all files below a folder.

    Raises:
        UnsafePathError: Below it is a symbolic link, a device or a name that S3 could not hold.
        OSError: It can't be read.
    """
    if not path.is_dir():
        return file_digest(path)[1]
    return tree_digest(_files(path))


def _files(root: Path) -> Iterator[FileDigest]:
    for relative in walk(root):
        size, sha256 = file_digest(root / relative)
        yield FileDigest(relative, size, sha256)


def walk(root: Path) -> Sequence[str]:
    """Return the relative paths of all regular files below a folder.

    Raises:
        UnsafePathError: There is something else than files and folders.
    """
    found: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            there = list(entries)
        for entry in there:
            relative = f"{folder}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(f"{relative}/")
            elif stat.S_ISREG(mode):
                found.append(safe_path(relative))
            else:
                raise UnsafePathError(
                    f"{relative!r} is neither file nor folder: the digest covers regular files, and S3 stores no links"
                )
    return sorted(found)
