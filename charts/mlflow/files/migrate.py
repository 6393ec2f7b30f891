"""Wait for the database, then bring its schema to this MLflow's. Reads PG*, MLFLOW_BACKEND_STORE_URI, WAIT_SECONDS."""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

import os
import sys
import time

import psycopg2

RETRY_SECONDS = 1.0


def wait() -> None:
    """Return when the database answers; end the program when it does not in time."""
    deadline = time.monotonic() + float(os.environ["WAIT_SECONDS"])
    where = f"{os.environ['PGHOST']}:{os.environ['PGPORT']}"
    last = ""
    while True:
        try:
            psycopg2.connect("").close()
        except psycopg2.OperationalError as error:
            problem = " ".join(str(error).split())
        else:
            print(f"The database at {where} answers")
            return
        if time.monotonic() >= deadline:
            sys.exit(f"No database at {where} after {os.environ['WAIT_SECONDS']} s: {problem}")
        if problem != last:
            print(f"Waiting for the database at {where}: {problem}")
            last = problem
        time.sleep(RETRY_SECONDS)


wait()
# A newer MLflow may migrate by itself at its start, or refuse to start: here it is one process, before any server.
os.execvp("mlflow", ["mlflow", "db", "upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"]])  # noqa: S606, S607 - from the image's PATH
