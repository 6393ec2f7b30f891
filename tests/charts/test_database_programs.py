"""The mlflow chart's programs that change the database (migrate, users, gc), on a real PostgreSQL."""

import configparser
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.charts import helm
from tests.support.object_store import ObjectStore
from tests.support.postgres import Postgres, postgres

pytestmark = pytest.mark.contract

FILES = helm.CHARTS / "mlflow" / "files"
USERS = {
    "OPERATOR_USERNAME": "op",
    "OPERATOR_PASSWORD": "operators-password",
    "CLIENT_USERNAME": "pods",
    "CLIENT_PASSWORD": "p%ds:p@ssword with anything",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres(16) as server:
        yield server


def environment(server: Postgres, **more: str) -> dict[str, str]:
    interpreters = str(Path(sys.executable).parent)  # where the mlflow command is
    path = {"PATH": f"{interpreters}:{server.environment['PATH']}"}
    return {**server.environment, **path, "WAIT_SECONDS": "60", "MLFLOW_DISABLE_TELEMETRY": "true", **more}


def program(name: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(FILES / name)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def configuration(server: Postgres, tmp_path: Path) -> str:
    """The file as the chart writes it."""
    values = {"auth": {"enabled": True}, "database": {"host": "127.0.0.1", "port": server.port}}
    documents = helm.manifests(helm.template("mlflow", values))
    file = tmp_path / "basic_auth.ini"
    file.write_text(helm.the(documents, "ConfigMap", "mlflow-auth")["data"]["basic_auth.ini"])
    return str(file)


def test_pods_that_start_at_once_migrate_once(server: Postgres) -> None:
    server.new_database()
    both = [program("migrate.py", environment(server)) for _ in range(2)]
    results = [ended(process) for process in both]
    assert [code for code, _, _ in results] == [0, 0], results
    assert int(server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) > 40
    assert server.sql("SELECT count(*) FROM alembic_version") == "1"
    code, out, _ = ended(program("migrate.py", environment(server)))
    assert code == 0
    assert "nothing to migrate" in out


def test_users_are_what_the_secrets_say(server: Postgres, tmp_path: Path) -> None:
    server.new_database()
    env = environment(server, MLFLOW_AUTH_CONFIG_PATH=configuration(server, tmp_path), **USERS)

    def users(**changed: str) -> str:
        code, out, err = ended(program("users.py", env | changed))
        assert code == 0, err
        return out

    assert users() == "User op (administrator): made\nUser pods (no administrator): made\n"
    hashes = server.sql("SELECT username, password_hash FROM users ORDER BY username")
    assert users().count("is as its Secret says") == 2
    assert server.sql("SELECT username, password_hash FROM users ORDER BY username") == hashes

    # An administrator's own changes, and a new Secret.
    server.sql("UPDATE users SET is_admin = true")
    server.sql("INSERT INTO users (username, password_hash, is_admin) VALUES ('ann', 'x', true)")
    told = users(OPERATOR_PASSWORD="another-password")
    assert told.count("changed to what its Secret says") == 2
    assert server.sql("SELECT username, is_admin FROM users ORDER BY 1") == "ann|t\nop|t\npods|f"
    assert server.sql("SELECT username, password_hash FROM users WHERE username != 'ann' ORDER BY username") != hashes


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CLIENT_USERNAME": "op"}, "name the same user"),
        ({"CLIENT_PASSWORD": "short"}, "The Secret in auth.clientSecret: Password must be"),
        ({"OPERATOR_USERNAME": ""}, "The Secret in auth.operatorSecret: "),
    ],
    ids=["same", "short", "empty"],
)
def test_secrets_that_cannot_be_used_are_named(
    server: Postgres, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    server.new_database()
    env = environment(server, MLFLOW_AUTH_CONFIG_PATH=configuration(server, tmp_path), **USERS)
    code, _, err = ended(program("users.py", env | changed))
    assert code == 1
    assert said in err
    assert "Traceback" not in err


def test_the_configuration_is_understood_and_holds_no_secret(server: Postgres, tmp_path: Path) -> None:
    path = configuration(server, tmp_path)
    read = "from mlflow.server.auth.config import read_auth_config as read; import json"
    asked = f"{read}; print(json.dumps(read()._asdict()))"
    env = environment(server, MLFLOW_AUTH_CONFIG_PATH=path)
    told = subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True).stdout
    assert '"default_permission": "EDIT"' in told
    assert '"auth_cache_ttl_seconds": 60' in told
    found = configparser.ConfigParser()
    found.read(path)
    assert not {"admin_username", "admin_password"} & set(found["mlflow"])
    assert "@" not in found["mlflow"]["database_uri"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path / "store")
    (tmp_path / "store").mkdir()
    store.start()
    try:
        store.wait()
        yield store
    finally:
        store.stop()


def test_gc_removes_runs_and_their_files_without_a_server(server: Postgres, store: ObjectStore, tmp_path: Path) -> None:
    server.new_database()
    more = {
        **store.environment,
        "PATH": environment(server)["PATH"],
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/team",
    }
    env = environment(server, **more) | {
        "OLDER_THAN": "1s",
        "MLFLOW_TRACKING_URI": server.environment["MLFLOW_BACKEND_STORE_URI"],
    }
    assert ended(program("bucket.py", env))[0] == 0
    # Runs as the server makes them: their files are the server's business (mlflow-artifacts:/), which keeps them in S3.
    work = """
import time
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
client = MlflowClient()
experiment = client.create_experiment("e", "mlflow-artifacts:/7")
s3 = get_artifact_repository("s3://mlflow/team/7")
for name in ("kept", "gone"):
    run = client.create_run(experiment, run_name=name).info
    open("FILE", "w").write(name)
    s3.log_artifact("FILE", f"{run.run_id}/artifacts")
    print(run.run_id, run.artifact_uri)
client.delete_run(run.run_id)
""".replace("FILE", str(tmp_path / "file.txt"))
    made = subprocess.run([sys.executable, "-c", work], env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    kept, gone = (line.split()[0] for line in made.stdout.splitlines())
    assert "mlflow-artifacts:" in made.stdout
    server.sql("UPDATE runs SET deleted_time = deleted_time - 60000 WHERE lifecycle_stage = 'deleted'")
    young = ended(program("gc.py", env | {"OLDER_THAN": "1d"}))
    assert young[0] == 0, young[2]
    assert gone not in young[1]
    code, out, err = ended(program("gc.py", env))
    assert code == 0, err
    assert f"Run with ID {gone} has been permanently deleted" in out
    assert server.sql("SELECT run_uuid FROM runs") == kept
    listed = """
import sys
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
s3 = get_artifact_repository("s3://mlflow/team/7")
print([[f.path for f in s3.list_artifacts(f"{run}/artifacts")] for run in sys.argv[1:]])
"""
    asked = [sys.executable, "-c", listed, kept, gone]
    left = subprocess.run(asked, env=env, capture_output=True, text=True, check=True).stdout
    assert left.strip() == f"[['{kept}/artifacts/file.txt'], []]"
