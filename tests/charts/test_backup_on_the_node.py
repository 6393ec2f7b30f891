"""Two tracking stacks on the testbed's node, with passwords and TLS: what one backs up, the other begins with."""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from mlflow.client import MlflowClient
from mlflow.exceptions import MlflowException
from requests.auth import HTTPBasicAuth

from tests.charts import helm
from tests.cluster import deploy
from tests.cluster.pki import Authority
from tests.support.kubectl import Kubectl, wait_for
from tests.support.network_policies import Network, Pod

pytestmark = pytest.mark.e2e

TLS = "stack-tls"
JOB_SECONDS = 300
CERTIFICATE = {"existingSecret": TLS}
CREDENTIALS = {
    "postgresql-credentials": {"username": "mlflow", "password": "o'dd p@ss/w:ord%41", "database": "mlflow"},
    "object-store-credentials": {"accessKey": "mlflow", "secretKey": "s3/cr+et %20"},
    "mlflow-operator": {"username": "op", "password": secrets.token_hex(16), "flaskSecretKey": secrets.token_hex(16)},
    "mlflow-client": {"username": "pods", "password": secrets.token_hex(16)},
}


@dataclass(frozen=True)
class Stacks:
    """A restricted namespace with the Secrets of every stack in it, and an object that owns the stacks."""

    kubectl: Kubectl
    namespace: str
    authority: Path
    owner: Mapping[str, str]

    def install(self, stack: str, chart: str, values: Mapping[str, Any]) -> None:
        """Install a chart as `<stack>-<chart>`."""
        given = {"fullnameOverride": f"{stack}-{chart}", "tls": CERTIFICATE, "owner": dict(self.owner), **values}
        file = self.authority.parent / f"{stack}-{chart}.yaml"
        file.write_text(yaml.safe_dump(given))
        small = str(deploy.VALUES / f"{chart}.yaml")
        where = [f"{stack}-{chart}", str(helm.CHARTS / chart), "--namespace", self.namespace]
        deploy.helm(self.kubectl, "upgrade", "--install", *where, "--values", small, "--values", str(file))

    def mlflow(self, stack: str, values: Mapping[str, Any]) -> None:
        """Install the server of a stack, with passwords, and wait for it."""
        store = {"endpoint": f"https://{stack}-object-store:9000", "caSecret": TLS}
        database = {"host": f"{stack}-postgresql", "sslMode": "verify-full", "caSecret": TLS}
        self.install(stack, "mlflow", {"database": database, "artifacts": store, "auth": {"enabled": True}, **values})
        deploy.rolled_out(self.kubectl, self.namespace, f"deployment/{stack}-mlflow")

    def run_now(self, cron_job: str) -> str:
        """Run a CronJob by hand and return what its pod's containers said."""
        job = f"{cron_job}-{uuid.uuid4().hex[:6]}"
        self.kubectl("-n", self.namespace, "create", "job", job, f"--from=cronjob/{cron_job}")

        def ended() -> str:
            status = (self.kubectl.get("job", job, self.namespace) or {}).get("status", {})
            true = {c["type"] for c in status.get("conditions", ()) if c["status"] == "True"}
            return "".join(true & {"Complete", "Failed"})

        end = wait_for(f"the end of {job}", ended, JOB_SECONDS)
        select = f"job-name={job}"
        told = self.kubectl("-n", self.namespace, "logs", "-l", select, "--all-containers", "--prefix", "--tail=-1")
        assert end == "Complete", told
        return told

    def log(self, stack: str, container: str) -> str:
        """Return what an init container of the server's pods said."""
        select = f"app.kubernetes.io/instance={stack}-mlflow,app.kubernetes.io/component=server"
        return self.kubectl("-n", self.namespace, "logs", "-l", select, "-c", container, "--tail=-1")

    @contextmanager
    def client(self, stack: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
        """A user's MLflow client, through a port-forward and TLS."""
        with self.kubectl.port_forward(self.namespace, f"service/{stack}-mlflow", 5000) as port:
            monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(self.authority))
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", CREDENTIALS[secret]["username"])
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CREDENTIALS[secret]["password"])
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://localhost:{port}")
            yield MlflowClient(f"https://localhost:{port}")

    def status(self, stack: str, path: str, login: str = "") -> int:
        """Ask the server without MLflow's client."""
        with self.kubectl.port_forward(self.namespace, f"service/{stack}-mlflow", 5000) as port:
            where = f"https://localhost:{port}{path}"
            auth = HTTPBasicAuth(*login.split(":")) if login else None
            return requests.get(where, auth=auth, verify=str(self.authority), timeout=30).status_code


def admits(*stacks: str) -> dict[str, Any]:
    """Values by which only these stacks' MLflow is admitted, as the operator sets them."""
    labels = ({"app.kubernetes.io/name": "mlflow", "app.kubernetes.io/instance": f"{one}-mlflow"} for one in stacks)
    return {"networkPolicy": {"from": [{"podSelector": {"matchLabels": one}} for one in labels]}}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    kubectl, name = Kubectl.of_testbed(), f"charts-{uuid.uuid4().hex[:8]}"
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.create()
    services = [f"{stack}-{chart}" for stack in "ab" for chart in helm.STACK]
    authority.issue("stack", "stack", "", ",".join(f"DNS:{host}" for host in (*services, "localhost")))
    files = {"tls.crt": authority.cert("stack"), "tls.key": authority.key("stack"), "ca.crt": authority.cert("ca")}
    objects = {TLS: {key: path.read_text() for key, path in files.items()}, **CREDENTIALS}
    kubectl.apply(deploy.restricted_namespace(name))
    kubectl.apply(
        *(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key, "namespace": name}, "stringData": values}
            for key, values in objects.items()
        ),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": name}},
    )
    uid = (kubectl.get("configmap", "owner", name) or {})["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    yield Stacks(kubectl, name, authority.cert("ca"), owner)
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def backups(stacks: Stacks) -> dict[str, Any]:
    """Stack `a` and the store of `b`, in which the backups are kept; where that is."""
    place = {
        "endpoint": "https://b-object-store:9000",
        "bucket": "backups",
        "prefix": "team",
        "existingSecret": "object-store-credentials",
        "caSecret": TLS,
    }
    for stack, chart in (("a", "postgresql"), ("a", "object-store"), ("b", "object-store")):
        # The store of `b` also keeps the backups of `a`.
        stacks.install(stack, chart, admits("a", "b") if (stack, chart) == ("b", "object-store") else admits(stack))
    jobs = {"backup": {"enabled": True, "destination": place}, "gc": {"enabled": True, "olderThan": "1s"}}
    stacks.mlflow("a", jobs)
    # Nobody but the owner of the backups' bucket makes it.
    program = (
        "import boto3; boto3.client('s3', endpoint_url='https://b-object-store:9000').create_bucket(Bucket='backups')"
    )
    where = ["-n", stacks.namespace, "exec", "deployment/a-mlflow", "-c", "mlflow", "--"]
    stacks.kubectl(*where, "python3", "-c", program)
    return place


def test_only_who_has_a_password_is_let_in(stacks: Stacks, backups: dict[str, Any]) -> None:
    experiment, other = "/api/2.0/mlflow/experiments/get?experiment_id=0", "/api/2.0/mlflow/users/get?username=op"
    logins = {
        name: "{username}:{password}".format(**CREDENTIALS[name]) for name in ("mlflow-operator", "mlflow-client")
    }
    assert stacks.status("a", "/health") == 200
    assert stacks.status("a", experiment) == 401
    assert stacks.status("a", experiment, "pods:wrong") == 401
    assert stacks.status("a", experiment, logins["mlflow-client"]) == 200
    assert stacks.status("a", other, logins["mlflow-client"]) == 403
    assert stacks.status("a", other, logins["mlflow-operator"]) == 200
    assert backups["bucket"]


def test_a_backup_is_what_an_empty_stack_begins_with(
    stacks: Stacks, backups: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.txt").write_text("the weights")
    # As Runwright does: the operator makes the run, the pods log to it.
    with stacks.client("a", "mlflow-operator", monkeypatch) as client:
        run = client.create_run(client.create_experiment("digits"), run_name="kept").info.run_id
    with stacks.client("a", "mlflow-client", monkeypatch) as client:
        client.log_metric(run, "accuracy", 0.98)
        client.log_artifact(run, str(tmp_path / "model.txt"), "out")
        client.set_terminated(run)
    told = stacks.run_now("a-mlflow-backup")
    assert "1 of 1 files copied" in told
    assert "is complete" in told

    stacks.install("b", "postgresql", admits("b"))
    # Two pods begin at once: one of them restores.
    stacks.mlflow("b", {"replicas": 2, "restore": {"enabled": True, "source": backups}})
    assert "1 of 1 files copied" in stacks.log("b", "restore")
    assert stacks.log("b", "restore-database").count("b-postgresql is restored") == 1
    with stacks.client("b", "mlflow-client", monkeypatch) as client:
        found = client.get_run(run)
        assert (found.info.run_name, found.info.status) == ("kept", "FINISHED")
        assert found.data.metrics == {"accuracy": 0.98}
        assert Path(client.download_artifacts(run, "out/model.txt", str(tmp_path))).read_text() == "the weights"

    # With the same values it finds what is there and leaves it.
    stacks.kubectl("-n", stacks.namespace, "rollout", "restart", "deployment/b-mlflow")
    deploy.rolled_out(stacks.kubectl, stacks.namespace, "deployment/b-mlflow")
    assert stacks.log("b", "restore").count("nothing is restored") == 2


def test_pods_reach_whom_they_need_and_nobody_else(stacks: Stacks, backups: dict[str, Any]) -> None:
    assert backups["bucket"]
    kubectl, space = stacks.kubectl, stacks.namespace
    everywhere = {
        kind: json.loads(kubectl("get", kind, "--all-namespaces", "-o", "json"))["items"]
        for kind in ("namespaces", "networkpolicies", "pods")
    }
    network = Network.of(everywhere["namespaces"], everywhere["networkpolicies"])
    pods = {pod.name: pod for pod in map(Pod.of, everywhere["pods"]) if pod.namespace == space}
    # One pod of each kind, the jobs' among them, which have ended but are there.
    kinds = (
        "a-mlflow-backup",
        "a-mlflow",
        "b-mlflow",
        *(f"{s}-{c}" for s in "ab" for c in ("postgresql", "object-store")),
    )
    one = {kind: next(p for name, p in pods.items() if name.startswith(kind + "-")) for kind in kinds}
    one["a-mlflow"], one["b-mlflow"] = (
        next(p for p in pods.values() if p.labels == {**p.labels, **server_labels(stack)}) for stack in "ab"
    )
    ports = {"postgresql": 5432, "object-store": 9000}
    wanted = {
        "a-mlflow": {"a-postgresql", "a-object-store", "b-object-store"},
        "a-mlflow-backup": {"a-postgresql", "a-object-store", "b-object-store"},
        "b-mlflow": {"b-postgresql", "b-object-store"},
        "a-postgresql": set(),
        "b-object-store": set(),
    }
    for who, whom in wanted.items():
        targets = {f"{s}-{part}": port for s in "ab" for part, port in ports.items() if f"{s}-{part}" != who}
        assert {name for name, port in targets.items() if network.allows(one[who], one[name], port)} == whom, who

    # Real packets. A provider that enforces policies lets no database call anybody.
    enforced = not connects(stacks, one["a-postgresql"].name, {"b-object-store": 9000})
    for who in ("a-mlflow", "b-mlflow"):
        found = connects(stacks, one[who].name, {f"{s}-{part}": port for s in "ab" for part, port in ports.items()})
        assert wanted[who] <= found
        if enforced:
            assert found == wanted[who]


def server_labels(stack: str) -> dict[str, str]:
    return {"app.kubernetes.io/instance": f"{stack}-mlflow", "app.kubernetes.io/component": "server"}


def connects(stacks: Stacks, pod: str, targets: Mapping[str, int]) -> set[str]:
    """Return to whom a pod gets a TCP connection."""
    script = "; ".join(
        f"timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}' 2>/dev/null && echo {host}"
        for host, port in targets.items()
    )
    told = stacks.kubectl("-n", stacks.namespace, "exec", pod, "--", "bash", "-c", f"{script}; true")
    return set(told.split())


def test_what_was_deleted_is_removed_for_good_with_its_files(
    stacks: Stacks, backups: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waste.txt").write_text("waste")
    with stacks.client("a", "mlflow-client", monkeypatch) as client:
        experiment = client.create_experiment("waste")
        gone, kept = (client.create_run(experiment).info.run_id for _ in range(2))
        for run in (gone, kept):
            client.log_artifact(run, str(tmp_path / "waste.txt"))
        client.delete_run(gone)
    told = stacks.run_now("a-mlflow-gc")
    assert f"Run with ID {gone} has been permanently deleted" in told
    program = f"""
import boto3, json, os
s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
print(json.dumps([o["Key"] for o in s3.list_objects_v2(Bucket="{backups and "mlflow"}")["Contents"]]))
"""
    where = ["-n", stacks.namespace, "exec", "deployment/a-mlflow", "-c", "mlflow", "--"]
    keys = json.loads(stacks.kubectl(*where, "python3", "-c", program))
    assert f"{experiment}/{kept}/artifacts/waste.txt" in keys
    assert not [key for key in keys if gone in key]
    with stacks.client("a", "mlflow-operator", monkeypatch) as client:
        assert client.get_run(kept).info.lifecycle_stage == "active"
        with pytest.raises(MlflowException, match="not found"):
            client.get_run(gone)


def test_all_go_with_their_owner_and_volumes_stay(stacks: Stacks) -> None:
    space = stacks.namespace
    stacks.kubectl("-n", space, "delete", "configmap", "owner")
    kinds = "deployments,statefulsets,cronjobs,services,networkpolicies,configmaps"

    def left() -> list[str]:
        names = stacks.kubectl("-n", space, "get", kinds, "-o", "name").split()
        return [name for name in names if name != "configmap/kube-root-ca.crt"]

    wait_for("the owner's objects are gone", lambda: not left())
    claims = {claim["metadata"]["name"] for claim in stacks.kubectl.objects("persistentvolumeclaims", space)}
    assert claims == {"data-a-postgresql-0", "data-a-object-store-0", "data-b-postgresql-0", "data-b-object-store-0"}
