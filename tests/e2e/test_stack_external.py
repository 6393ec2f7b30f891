"""A stack whose database and object store are somebody else's, with logins; the database is of an older MLflow."""

import base64
import secrets
from typing import Any

import boto3
import pytest
import requests
import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as FirstSchema

from tests.e2e.runs import Runs, manifest, run_id
from tests.e2e.stacks import Stacks
from tests.support.kubectl import Kubectl
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

REVISIONS_BACK = 5
"""How much older the database's schema is than this MLflow's."""
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SCRIPT = """
    import mlflow
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.25, step=1)
        mlflow.log_text("kept", "note.txt")
"""


def server(
    name: str, image: str, uid: int, port: int, env: dict[str, str], path: str, *args: str
) -> list[dict[str, Any]]:
    """A pod and its Service, made by hand: no chart, no release."""
    container = {
        "name": name,
        "image": image,
        "args": list(args),
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 2},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "data", "mountPath": path}, {"name": "run", "mountPath": "/var/run/postgresql"}],
    }
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}}]
    user = {"runAsUser": uid, "runAsGroup": uid, "fsGroup": uid}
    meta = {"name": name, "labels": {"app": name}}
    pod = {"containers": [container], "volumes": volumes, "securityContext": user, "enableServiceLinks": False}
    service = {"selector": {"app": name}, "ports": [{"port": port}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
    ]


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.fixture(scope="module")
def theirs(stacks: Stacks) -> str:
    """A PostgreSQL and an S3 outside every release; returns the database's password."""
    password = secrets.token_hex(12)
    database = {"POSTGRES_USER": "owner", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "tracking"}
    listen = ("postgres", "-c", "listen_addresses=*")
    serve = ("minio", "server", "/data", "--address", ":9000")
    keys = {"MINIO_ROOT_USER": "somebody", "MINIO_ROOT_PASSWORD": password}
    stacks.create(
        *server("their-database", "runwright/postgresql:17", 999, 5432, database, "/var/lib/postgresql", *listen),
        *server("their-store", "runwright/object-store:minio", 1000, 9000, keys, "/data", *serve),
        secret("their-database", username="owner", password=password, database="tracking"),
        secret("their-store", accessKey="somebody", secretKey=password),
    )
    for name in ("their-database", "their-store"):
        stacks.kubectl("-n", stacks.namespace, "wait", "pod", name, "--for=condition=Ready", "--timeout=240s")
    with stacks.kubectl.port_forward(stacks.namespace, "pod/their-store", 9000) as port:
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="somebody",
            aws_secret_access_key=password,
            region_name="us-east-1",
        )
        s3.create_bucket(Bucket="theirs")  # a foreign bucket is not ours to make
    return password


def age(kubectl: Kubectl, namespace: str, password: str) -> tuple[str, str]:
    """Give the database the schema of an older MLflow with an experiment in it; returns its revision and the newest."""
    with kubectl.port_forward(namespace, "pod/their-database", 5432) as port:
        uri = f"postgresql+psycopg2://owner:{password}@127.0.0.1:{port}/tracking"
        engine = sqlalchemy.create_engine(uri)
        FirstSchema.metadata.create_all(engine)
        config = _get_alembic_config(uri)  # type: ignore[no-untyped-call]
        newest = list(ScriptDirectory.from_config(config).walk_revisions())
        older = newest[REVISIONS_BACK].revision
        command.upgrade(config, older)
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.text(
                    "INSERT INTO experiments (name, lifecycle_stage, artifact_location) "
                    "VALUES ('from-before', 'active', 's3://theirs/0')"
                )
            )
        engine.dispose()
        return older, newest[0].revision


def revision(kubectl: Kubectl, namespace: str, password: str) -> str:
    with kubectl.port_forward(namespace, "pod/their-database", 5432) as port:
        engine = sqlalchemy.create_engine(f"postgresql+psycopg2://owner:{password}@127.0.0.1:{port}/tracking")
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar_one()
        engine.dispose()
        return str(found)


def login(kubectl: Kubectl, namespace: str, name: str) -> tuple[str, str]:
    data = (kubectl.get("secret", name, namespace) or {})["data"]
    user, password = (base64.b64decode(data[key]).decode() for key in ("username", "password"))
    return user, password


def test_foreign_parts_an_old_schema_and_logins_make_a_working_stack(stacks: Stacks, theirs: str) -> None:
    kubectl, namespace = stacks.kubectl, stacks.namespace
    older, newest = age(kubectl, namespace, theirs)
    assert revision(kubectl, namespace, theirs) == older != newest
    database = {"host": "their-database", "secretRef": {"name": "their-database"}}
    store = {"endpoint": "http://their-store:9000", "bucket": "theirs", "secretRef": {"name": "their-store"}}
    spec = {
        "postgresql": {"external": database},
        "objectStore": {"external": store},
        "server": {"auth": "Basic"},
    }
    kind = {"apiVersion": "runwright.dev/v1alpha1", "kind": "TrackingStack"}
    stacks.create({**kind, "metadata": {"name": "mixed"}, "spec": spec})
    status = stacks.ready("mixed")
    assert [r["name"] for r in status["releases"]] == ["mixed-mlflow"], "nothing of theirs is a release of ours"
    assert revision(kubectl, namespace, theirs) == newest, "migrated before it serves"

    runs = Runs(kubectl, namespace)
    runs.apply(manifest("logs-in", SCRIPT, tracking={"stackRef": {"name": "mixed"}}))
    ended = runs.closed("logs-in", "Succeeded", 400)
    admin, client = (login(kubectl, namespace, f"mixed-mlflow-{who}") for who in ("operator", "client"))
    assert admin[0] != client[0]
    with kubectl.port_forward(namespace, "service/mixed-mlflow", 5000) as port:
        with pytest.raises(requests.HTTPError, match="401"):
            MLflowView(f"http://127.0.0.1:{port}").run(run_id(ended))
        view = MLflowView(f"http://127.0.0.1:{port}", admin)
        assert view.run(run_id(ended))["status"] == "FINISHED"
        assert view.artifact(run_id(ended), "note.txt") == "kept"
        assert view.runs("from-before") == [], "what the older MLflow left is there"
    kubectl("-n", namespace, "delete", "tstack", "mixed", "--wait=true")
