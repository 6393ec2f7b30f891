"""A backup's index: the list, written last, that makes it one. JSON, an object a line, so that millions need no memory.

The first line is `{"version": 1, "name": "20261121T020000Z", "database": {"size": 9, "sha256": "..."}, "objects": [`,
the last `]}`, the others `["<key below artifacts/>", <size>, "<the source's ETag>"],`.
"""

# ruff: noqa: INP001 - a module that the pod mounts beside its programs

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ends import End, Listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

VERSION = 1
FOLDER, SUFFIX = "indexes", ".json.gz"
DUMPS, DUMP_SUFFIX = "databases", ".dump"
ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Database:
    """The dump, as it was when the backup was made."""

    size: int
    sha256: str


def write(path: Path, name: str, database: Database, objects: Iterable[Listed]) -> None:
    """Write an index to a file."""
    head = {"version": VERSION, "name": name, "database": vars(database), "objects": []}
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(head).removesuffix("]}"))
        separator = "\n"
        for listed in objects:
            file.write(separator + json.dumps([listed.key, listed.size, listed.etag]))
            separator = ",\n"
        file.write("\n]}\n")


def read(path: Path) -> tuple[Database, Iterator[Listed]]:
    """Return what an index says, its objects one by one."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = json.loads(file.readline().rstrip() + "]}")
    if head["version"] != VERSION:
        sys.exit(f"This backup is of version {head['version']}, this program reads {VERSION}: use a newer chart")
    return Database(**head["database"]), _objects(path)


def _objects(path: Path) -> Iterator[Listed]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)
        for line in file:
            if not line.startswith("]"):
                yield Listed(*json.loads(line.rstrip().removesuffix(",")))


def fetch(place: End, name: str, path: Path) -> tuple[Database, Iterator[Listed]]:
    """Fetch an index and return what it says."""
    place.client.download_file(place.bucket, place.below(FOLDER).key(name + SUFFIX), str(path))
    return read(path)
