"""The stack's charts on the testbed's node, in namespaces that enforce the restricted Pod Security Standard."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.charts import helm
from tests.cluster import deploy
from tests.support.kubectl import Kubectl, wait_for

pytestmark = pytest.mark.e2e

# Kubernetes would expand $(HOME), a URI would need the rest quoted.
PASSWORD = "o'dd p@ss/w:ord%41$(HOME)$$"
DATA = "/var/lib/postgresql/pgdata"


@pytest.fixture(scope="module")
def kubectl() -> Kubectl:
    return Kubectl.of_testbed()


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    name = f"charts-{uuid.uuid4().hex[:8]}"
    kubectl.apply(deploy.restricted_namespace(name))
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def in_pod(kubectl: Kubectl, namespace: str, workload: str, container: str, script: str) -> str:
    return kubectl("-n", namespace, "exec", workload, "-c", container, "--", "sh", "-c", script).strip()


def restart(kubectl: Kubectl, namespace: str, pod: str) -> None:
    kubectl("-n", namespace, "delete", "pod", pod, "--wait=true")


def ready(kubectl: Kubectl, namespace: str, pod: str) -> None:
    wait_for(f"{pod} exists", lambda: kubectl.get("pod", pod, namespace))
    kubectl("-n", namespace, "wait", "pod", pod, "--for=condition=Ready", "--timeout=180s")


def test_postgresql_keeps_its_data_and_refuses_another_major_version(kubectl: Kubectl, namespace: str) -> None:
    secret = {"username": "team", "password": PASSWORD, "database": "runs"}
    meta = {"name": "postgresql-credentials", "namespace": namespace}
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": secret})
    deploy.install_chart(kubectl, "postgresql", namespace)
    ready(kubectl, namespace, "postgresql-0")

    def sql(user: str, statement: str) -> str:
        """Over the network, with the password of the Secret."""
        return in_pod(
            kubectl,
            namespace,
            "postgresql-0",
            "postgresql",
            f'PGPASSWORD="$APP_PASSWORD" psql -h 127.0.0.1 -U {user} runs -Atc "{statement}" 2>&1 || true',
        )

    assert sql("team", "select rolsuper from pg_roles where rolname = current_user") == "f"
    assert "authentication failed" in sql("postgres", "select 1")
    assert sql("team", "create table kept as select 42 as answer") == "SELECT 1"

    restart(kubectl, namespace, "postgresql-0")
    ready(kubectl, namespace, "postgresql-0")
    assert sql("team", "select answer from kept") == "42"

    in_pod(kubectl, namespace, "postgresql-0", "postgresql", f"echo 12 > {DATA}/PG_VERSION")
    restart(kubectl, namespace, "postgresql-0")
    assert "The volume holds a database of PostgreSQL 12" in wait_for(
        "the refusal", lambda: refusal(kubectl, namespace)
    )


def refusal(kubectl: Kubectl, namespace: str) -> str:
    """What the init container said when it ended with a failure."""
    pod = kubectl.get("pod", "postgresql-0", namespace) or {}
    for status in pod.get("status", {}).get("initContainerStatuses", ()):
        for state in (status.get("state", {}), status.get("lastState", {})):
            if state.get("terminated", {}).get("exitCode"):
                return str(state["terminated"]["message"])
    return ""


def test_mlflow_knows_its_names_and_keeps_files_behind_itself(kubectl: Kubectl) -> None:
    deploy.deploy(kubectl)
    space, name = deploy.TRACKING_NAMESPACE, deploy.MLFLOW
    names = [name, f"{name}.{space}", f"{name}.{space}.svc", f"{name}.{space}.svc.cluster.local"]
    # Asked through the Service by each name, and with a name that it must refuse.
    program = f"""
import json, urllib.error, urllib.request
path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
seen = {{one: urllib.request.urlopen(f"http://{{one}}:5000{{path}}").status for one in {names!r}}}
try:
    urllib.request.urlopen(urllib.request.Request("http://{name}:5000" + path, headers={{"Host": "evil.example.com"}}))
except urllib.error.HTTPError as error:
    seen["evil"] = error.code
info = json.load(urllib.request.urlopen("http://{name}:5000/api/3.0/mlflow/server-info"))
print(json.dumps([seen, info]))
"""
    told = kubectl("-n", space, "exec", f"deploy/{name}", "-c", "mlflow", "--", "python3", "-c", program)
    seen, info = json.loads(told.splitlines()[-1])
    assert seen == {**dict.fromkeys(names, 200), "evil": 403}
    assert info["multipart_downloads_enabled"] is False
    assert info["multipart_uploads_enabled"] is False
    assert info["features_enabled"]["gateway"] is False


def test_every_chart_is_accepted_by_the_api_server(kubectl: Kubectl) -> None:
    for chart in helm.ALL:
        # What the full values name is not installed here: a ServiceMonitor's CRD, namespaces, a PriorityClass.
        away = {"serviceMonitor": {"enabled": False}, "watchNamespaces": [], "stackNamespaces": []}
        values = away | {"priorityClassName": ""} if chart == "runwright" else {}
        for full in (False, True):
            rendered = helm.template(chart, values, full=full).replace(helm.NAMESPACE, "default")
            kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=rendered)
