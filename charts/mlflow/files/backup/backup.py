"""Put the database's dump and a mirror of the artifacts into another bucket; keep the newest backups.

Reads SOURCE_*, DESTINATION_*, PG*, KEEP, PARALLEL, and the folder WORK with `name` and `database.dump`.
"""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import index
import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from copying import SHOWN, copy_all
from ends import End, Listed, end, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WORK = Path(os.environ["WORK"])
LOCK = 0x72776261
"""The advisory lock of backups: "rwba". Only one at a time may take away what the others do not need."""
OVERLAP = (
    "The backup's place, {destination}, and the artifacts', {source}, overlap: give the backup a bucket of its own"
)

SCHEMA = """
CREATE TABLE source (key TEXT PRIMARY KEY, size INTEGER, etag TEXT) WITHOUT ROWID;
CREATE TABLE mirror (key TEXT PRIMARY KEY, size INTEGER, etag TEXT) WITHOUT ROWID;
CREATE TABLE previous (key TEXT PRIMARY KEY, size INTEGER, etag TEXT) WITHOUT ROWID;
"""
# What the newest index has is in the mirror as it was at the source then.
CHANGED = """
CREATE TABLE changed AS SELECT key, size, etag FROM source WHERE NOT EXISTS (
  SELECT 1 FROM previous JOIN mirror USING (key)
  WHERE key = source.key AND previous.size = source.size AND previous.etag = source.etag AND mirror.size = source.size
) ORDER BY key
"""


@contextmanager
def alone() -> Iterator[Callable[[], None]]:
    """Keep other backups of this database out; what it yields raises if that is no longer sure."""
    with closing(psycopg2.connect("", keepalives_idle=60, keepalives_interval=10, keepalives_count=6)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            if not cursor.fetchone()[0]:
                print("Another backup is under way: waiting for its end")
                cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))

            def still() -> None:
                cursor.execute("SELECT 1")

            yield still


def fill(table: str, lists: sqlite3.Connection, objects: Iterable[Listed]) -> None:
    """Note a listing on disk: millions of names need no memory."""
    with lists:
        rows = ((listed.key, listed.size, listed.etag) for listed in objects)
        lists.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608 - a name from here


def mirror(source: End, artifacts: End, lists: sqlite3.Connection) -> None:
    """Copy what is new or changed; end the program if anything could not be."""
    lists.execute(CHANGED)
    ((known,),) = lists.execute("SELECT count(*) FROM source")
    ((new,),) = lists.execute("SELECT count(*) FROM changed")

    def done(wanted: Listed, read: Listed | None) -> None:
        lists.execute("DELETE FROM source WHERE key = ?", (wanted.key,))
        if read:
            lists.execute("INSERT INTO source VALUES (?, ?, ?)", (read.key, read.size, read.etag))
            lists.execute("INSERT OR REPLACE INTO mirror VALUES (?, ?, ?)", (read.key, read.size, read.etag))

    with lists:
        changed = (Listed(*row) for row in lists.execute("SELECT key, size, etag FROM changed"))
        outcome = copy_all(source, artifacts, changed, done)
    if outcome.failed:
        shown = f" (the first {SHOWN} are above)" if outcome.failed > SHOWN else " (see above)"
        sys.exit(f"{outcome.failed} of {known} files could not be copied{shown}: there is no backup of this time")
    print(
        f"{outcome.copied} of {known} files copied ({outcome.size} bytes); {known - new} were there, "
        f"{outcome.gone} were deleted meanwhile"
    )


def prune(destination: End, keep: int, lists: sqlite3.Connection) -> None:
    """Delete backups beyond the newest `keep`, dumps without an index, and files that no kept backup has."""
    names = destination.names(index.FOLDER, index.SUFFIX)
    kept, old = names[-keep:], names[:-keep]
    # A backup ends with its index: first that, then what it lists.
    destination.below(index.FOLDER).delete([name + index.SUFFIX for name in old])
    dumps = destination.names(index.DUMPS, index.DUMP_SUFFIX)
    stray = [name + index.DUMP_SUFFIX for name in dumps if name not in kept]
    destination.below(index.DUMPS).delete(stray)
    lists.execute("CREATE TABLE unused AS SELECT key FROM mirror WHERE key NOT IN (SELECT key FROM source)")
    lists.execute("CREATE UNIQUE INDEX unused_key ON unused (key)")
    for name in reversed(kept[:-1]):
        if not lists.execute("SELECT 1 FROM unused LIMIT 1").fetchone():
            break
        _, objects = index.fetch(destination, name, WORK / "kept.json.gz")
        with lists:
            lists.executemany("DELETE FROM unused WHERE key = ?", ((listed.key,) for listed in objects))
    unused = [key for (key,) in lists.execute("SELECT key FROM unused")]
    destination.below(index.ARTIFACTS).delete(unused)
    print(f"{len(kept)} backups are kept: {', '.join(kept)}; {len(old)} backups and {len(unused)} files deleted")


def sha256(path: Path) -> str:
    """Return a file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Make one backup."""
    name, dump = (WORK / "name").read_text(encoding="utf-8").strip(), WORK / "database.dump"
    database = index.Database(dump.stat().st_size, sha256(dump))
    source, destination = end("SOURCE"), end("DESTINATION")
    artifacts = destination.below(index.ARTIFACTS)
    if source.contains(destination) or artifacts.contains(source):
        sys.exit(OVERLAP.format(destination=destination, source=source))
    (WORK / "lists").unlink(missing_ok=True)
    with closing(sqlite3.connect(WORK / "lists")) as lists, alone() as still_alone:
        lists.executescript(SCHEMA)
        try:
            names = destination.names(index.FOLDER, index.SUFFIX)
            if names:
                fill("previous", lists, index.fetch(destination, names[-1], WORK / "previous.json.gz")[1])
            key = destination.below(index.DUMPS).key(name + index.DUMP_SUFFIX)
            destination.client.upload_file(str(dump), destination.bucket, key)
            print(f"Backup {name} in {destination}: the database's dump has {database.size} bytes")
            fill("mirror", lists, artifacts.objects())
        except (BotoCoreError, ClientError) as error:
            fail(destination, error)
        try:
            fill("source", lists, source.objects())
        except (BotoCoreError, ClientError) as error:
            fail(source, error)
        if lists.execute("SELECT 1 FROM source WHERE key LIKE '%' || ?", (key,)).fetchone():
            sys.exit(OVERLAP.format(destination=destination, source=source))
        mirror(source, artifacts, lists)
        still_alone()
        try:
            listed = (Listed(*row) for row in lists.execute("SELECT key, size, etag FROM source ORDER BY key"))
            index.write(WORK / "index.json.gz", name, database, listed)
            key = destination.below(index.FOLDER).key(name + index.SUFFIX)
            destination.client.upload_file(str(WORK / "index.json.gz"), destination.bucket, key)
            print(f"Backup {name} is complete")
            prune(destination, int(os.environ["KEEP"]), lists)
        except (BotoCoreError, ClientError) as error:
            fail(destination, error)


if __name__ == "__main__":
    main()
