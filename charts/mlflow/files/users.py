"""Make the two users, or change them to what the Secrets say.

Reads PG*, MLFLOW_AUTH_CONFIG_PATH, OPERATOR_USERNAME, OPERATOR_PASSWORD, CLIENT_USERNAME and CLIENT_PASSWORD.
Other users are the administrator's own business and stay.
"""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

import os
import sys
from contextlib import closing

import psycopg2
from mlflow.exceptions import MlflowException
from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

LOCK = 0x72776D69
"""The advisory lock under which the schema is changed, also by migrate.py."""
USERS = {"OPERATOR": ("auth.operatorSecret", True), "CLIENT": ("auth.clientSecret", False)}


def ensure(store: SqlAlchemyStore, name: str, password: str, *, admin: bool) -> str:
    """Return what was done. Raises MlflowException for a name or password that MLflow does not take."""
    if not store.has_user(name):
        store.create_user(name, password, is_admin=admin)
        return "made"
    user = store.get_user(name)
    if user.is_admin == admin and store.authenticate_user(name, password):
        return "is as its Secret says"
    store.update_user(name, password, is_admin=admin)
    return "changed to what its Secret says"


def main() -> None:
    """Bring both users about."""
    if os.environ["OPERATOR_USERNAME"] == os.environ["CLIENT_USERNAME"]:
        sys.exit("The Secrets in auth.operatorSecret and auth.clientSecret name the same user: give them two names")
    with closing(psycopg2.connect("")) as connection, connection.cursor() as cursor:
        # Until this connection is closed.
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        store = SqlAlchemyStore()
        store.init_db(read_auth_config().database_uri)
        for role, (secret, admin) in USERS.items():
            name, password = os.environ[f"{role}_USERNAME"], os.environ[f"{role}_PASSWORD"]
            try:
                outcome = ensure(store, name, password, admin=admin)
            except MlflowException as error:
                sys.exit(f"The Secret in {secret}: {error.message}")
            print(f"User {name} ({'administrator' if admin else 'no administrator'}): {outcome}")


main()
