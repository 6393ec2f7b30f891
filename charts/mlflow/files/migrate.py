"""Wait for the database, then bring its schema to this MLflow's. Reads PG*, MLFLOW_BACKEND_STORE_URI, WAIT_SECONDS."""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import psycopg2

RETRY_SECONDS = 1.0
LOCK = 0x72776D69
"""The advisory lock under which the schema is changed: several pods of the server may start at once."""
REVISION = re.compile(r'^(down_)?revision(?:: [^=]+)? = "(\w+)"', re.MULTILINE)


def wait() -> str:
    """Return the schema's revision, "" for an empty database; end the program when none answers in time."""
    deadline = time.monotonic() + float(os.environ["WAIT_SECONDS"])
    where = f"{os.environ['PGHOST']}:{os.environ['PGPORT']}"
    last = ""
    while True:
        try:
            found = revision()
        except psycopg2.OperationalError as error:
            problem = " ".join(str(error).split())
        else:
            print(f"The database at {where} answers; its schema is {found or 'empty'}")
            return found
        if time.monotonic() >= deadline:
            sys.exit(f"No database at {where} after {os.environ['WAIT_SECONDS']} s: {problem}")
        if problem != last:
            print(f"Waiting for the database at {where}: {problem}")
            last = problem
        time.sleep(RETRY_SECONDS)


def revision() -> str:
    """Return what Alembic noted in the database."""
    connection = psycopg2.connect("")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return ""
            cursor.execute("SELECT version_num FROM alembic_version")
            return ",".join(sorted(row[0] for row in cursor.fetchall()))
    finally:
        connection.close()


def newest() -> str:
    """Return the newest revision this MLflow has, or "" if its files tell none; importing MLflow would take seconds."""
    spec = find_spec("mlflow")
    root = Path(spec.origin).parent if spec and spec.origin else Path("mlflow")
    revisions: set[str] = set()
    parents: set[str] = set()
    for path in (root / "store" / "db_migrations" / "versions").glob("*.py"):
        for down, name in REVISION.findall(path.read_text(encoding="utf-8")):
            (parents if down else revisions).add(name)
    heads = revisions - parents
    return heads.pop() if len(heads) == 1 else ""


def main() -> None:
    """Migrate if there is anything to migrate."""
    found = wait()
    if found and found == newest():
        print("That is this MLflow's own: nothing to migrate")
        return
    with closing(psycopg2.connect("")) as connection, connection.cursor() as cursor:
        # Until this connection is closed. The second of two pods then finds nothing left to do.
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        # A newer MLflow migrates by itself at its start, or refuses to start: here in one process, before any server.
        command = ["mlflow", "db", "upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"]]
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603 - from the image's PATH


if __name__ == "__main__":
    main()
