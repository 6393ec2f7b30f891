"""Fetch a backup for an empty database: its dump for the next container, its artifacts straight into their bucket.

A database that holds anything is left alone. Reads SOURCE_* (the backup's place), DESTINATION_* (the artifacts' place),
PG*, BACKUP, PARALLEL, WAIT_SECONDS and the folder WORK. What was cut short begins again where it was: the database is
filled last, in one transaction.
"""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import index
import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from copying import copy_all
from ends import End, Listed, end, fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORK = Path(os.environ["WORK"])
RETRY_SECONDS = 1.0
TABLES = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname NOT IN ('pg_catalog', 'information_schema')
AND nspname NOT LIKE 'pg\\_toast%' AND nspname NOT LIKE 'pg\\_temp%'
"""


def tables() -> int:
    """Return how many tables the database holds; end the program when it does not answer in time."""
    deadline = time.monotonic() + float(os.environ["WAIT_SECONDS"])
    where = f"{os.environ['PGHOST']}:{os.environ['PGPORT']}"
    last = ""
    while True:
        try:
            with closing(psycopg2.connect("")) as connection, connection.cursor() as cursor:
                cursor.execute(TABLES)
                return int(cursor.fetchone()[0])
        except psycopg2.OperationalError as error:
            problem = " ".join(str(error).split())
        if time.monotonic() >= deadline:
            sys.exit(f"No database at {where} after {os.environ['WAIT_SECONDS']} s: {problem}")
        if problem != last:
            print(f"Waiting for the database at {where}: {problem}")
            last = problem
        time.sleep(RETRY_SECONDS)


def chosen(source: End, wanted: str) -> str:
    """Return the name of the backup; end the program when there is none of that name."""
    names = source.names(index.FOLDER, index.SUFFIX)
    if not names:
        sys.exit(f"No backup in {source}: check restore.source, or set restore.enabled to false for an empty start")
    if wanted == "latest":
        return names[-1]
    if wanted not in names:
        sys.exit(f"No backup {wanted} in {source}; there are {', '.join(names[-10:])} ({len(names)} in all)")
    return wanted


def fetch_dump(source: End, name: str, database: index.Database) -> None:
    """Put the dump where the next container looks for it, complete or not at all."""
    part = WORK / "database.part"
    source.client.download_file(source.bucket, source.below(index.DUMPS).key(name + index.DUMP_SUFFIX), str(part))
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if (part.stat().st_size, digest) != (database.size, database.sha256):
        sys.exit(f"{source}: the dump of {name} is not the one its index names: choose another backup")
    part.rename(WORK / "database.dump")


def copy_artifacts(source: End, destination: End, objects: Iterable[Listed]) -> None:
    """Copy the backup's files; those that an earlier attempt brought are there."""
    there = {listed.key: listed.size for listed in destination.objects()}
    changed: list[str] = []
    known = 0

    def wanted() -> Iterator[Listed]:
        nonlocal known
        for listed in objects:
            known += 1
            if there.get(listed.key) != listed.size:
                yield listed

    def done(asked: Listed, read: Listed | None) -> None:
        if read is None or read.size != asked.size:
            changed.append(asked.key)

    outcome = copy_all(source.below(index.ARTIFACTS), destination, wanted(), done)
    if outcome.failed:
        sys.exit(f"{outcome.failed} of {known} files could not be copied (see above)")
    there_already = known - outcome.copied - outcome.gone
    print(f"{outcome.copied} of {known} files copied ({outcome.size} bytes), {there_already} were there")
    if changed:
        print(f"{len(changed)} files are missing in the backup, or newer there: {', '.join(sorted(changed)[:10])}")


def main() -> None:
    """Fetch it, if the database is empty."""
    (WORK / "database.dump").unlink(missing_ok=True)
    found = tables()
    if found:
        print(f"The database holds {found} tables already: nothing is restored")
        return
    source, destination = end("SOURCE"), end("DESTINATION")
    try:
        name = chosen(source, os.environ["BACKUP"])
        print(f"Restoring {name} from {source}")
        database, objects = index.fetch(source, name, WORK / "index.json.gz")
    except (BotoCoreError, ClientError) as error:
        fail(source, error)
    try:
        copy_artifacts(source, destination, objects)
    except (BotoCoreError, ClientError) as error:
        fail(destination, error)
    try:
        fetch_dump(source, name, database)
    except (BotoCoreError, ClientError) as error:
        fail(source, error)


if __name__ == "__main__":
    main()
