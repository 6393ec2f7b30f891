"""Installs the product on a test cluster the way a platform engineer does: by one `helm install`."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support.kubectl import CLUSTER_FILE, ROOT, Kubectl, wait_for

OPERATOR_NAMESPACE = "runwright-system"
TRACKING_NAMESPACE = OPERATOR_NAMESPACE
"""The default stack is made where the release is."""
STACK = "default"
POSTGRESQL, OBJECT_STORE, MLFLOW = f"{STACK}-postgresql", f"{STACK}-object-store", f"{STACK}-mlflow"
"""Names of the workloads, the Services and (MLflow's) the Ingress of the default stack."""
UI_HOST = "mlflow.runwright.test"
VALUES = Path(__file__).resolve().parent / "values"
READY_SECONDS = 600


def restricted_namespace(name: str) -> dict[str, Any]:
    """A namespace that enforces the restricted Pod Security Standard."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": enforce}}


def helm(kubectl: Kubectl, *args: str, stdin: str | None = None) -> str:
    """Run the testbed's helm.

    Raises:
        RuntimeError: with helm's own message.
    """
    program = json.loads(CLUSTER_FILE.read_text()).get("bin", {}).get("helm", "helm")
    command = [program, "--kubeconfig", kubectl.kubeconfig, *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(args[:3])}: {done.stderr.strip()}")
    return done.stdout


def install_chart(kubectl: Kubectl, chart: str, namespace: str, *args: str) -> None:
    """``helm upgrade --install`` of one of the stack's charts by itself, with the testbed's values."""
    where = ["upgrade", "--install", chart, f"charts/{chart}", "--namespace", namespace]
    helm(kubectl, *where, "--values", str(VALUES / f"{chart}.yaml"), *args)


def rolled_out(kubectl: Kubectl, namespace: str, *workloads: str) -> None:
    """Wait until workloads are ready; what the pods say is in the error."""
    for workload in workloads:
        done = kubectl.run("-n", namespace, "rollout", "status", workload, f"--timeout={READY_SECONDS}s", check=False)
        if done.returncode:
            told = kubectl.run("-n", namespace, "get", "pods,events", check=False).stdout
            raise RuntimeError(f"{workload} in {namespace} is not ready: {done.stderr.strip()}\n{told}")


def object_store_credentials(kubectl: Kubectl) -> tuple[str, str]:
    """Access key and secret key of the object store."""
    data = (kubectl.get("secret", f"{OBJECT_STORE}-credentials", TRACKING_NAMESPACE) or {})["data"]
    access, secret = (base64.b64decode(data[k]).decode() for k in ("accessKey", "secretKey"))
    return access, secret


def values() -> dict[str, Any]:
    """The testbed's values: a default stack, with each chart's small amounts below it."""
    found: dict[str, Any] = yaml.safe_load((VALUES / "runwright.yaml").read_text())
    charts = ("postgresql", "object-store", "mlflow")
    found["stackDefaults"] = {chart: yaml.safe_load((VALUES / f"{chart}.yaml").read_text()) for chart in charts}
    return found


def install(kubectl: Kubectl, release: str, namespace: str, given: dict[str, Any], *args: str) -> None:
    """Install the product with one command, or bring it up to date; wait for the operator."""
    chart = ["upgrade", "--install", release, "charts/runwright", "--namespace", namespace]
    helm(kubectl, *chart, "--values", "-", *args, stdin=yaml.safe_dump(given))
    name = release if "runwright" in release else f"{release}-runwright"
    rolled_out(kubectl, namespace, f"deployment/{name}")


def upgrade_operator(kubectl: Kubectl, *args: str) -> None:
    """Install or upgrade the release and wait for the operator."""
    install(kubectl, "runwright", OPERATOR_NAMESPACE, values(), *args)


def stack_namespaces(*names: str) -> tuple[str, str]:
    """Arguments that let the operator keep stacks in these namespaces, too, for `upgrade_operator`."""
    return "--set", f"stackNamespaces={{{','.join((TRACKING_NAMESPACE, *names))}}}"


def stack_ready(kubectl: Kubectl, namespace: str, name: str = STACK) -> dict[str, Any]:
    """Wait until a TrackingStack is ready; what it and its pods say is in the error."""

    def probe() -> dict[str, Any] | None:
        found = kubectl.get("trackingstack", name, namespace) or {}
        status: dict[str, Any] = found.get("status", {})
        told = {one["type"]: one["status"] for one in status.get("conditions", ())}
        current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
        return found if current and told.get("Ready") == "True" else None

    try:
        return wait_for(f"TrackingStack {namespace}/{name}", probe, READY_SECONDS)
    except TimeoutError as error:
        told = kubectl.run("-n", namespace, "describe", "trackingstack", name, check=False).stdout
        pods = kubectl.run("-n", namespace, "get", "pods,events", check=False).stdout
        raise RuntimeError(f"{error}\n{told}\n{pods}") from None


def deploy(kubectl: Kubectl) -> None:
    """Install everything; what is there already is brought up to date."""
    kubectl.apply(restricted_namespace(OPERATOR_NAMESPACE))
    upgrade_operator(kubectl)
    stack_ready(kubectl, TRACKING_NAMESPACE)


@contextmanager
def tracker_away(kubectl: Kubectl) -> Iterator[None]:
    """Take MLflow away for the block's duration; it is back and ready at its end.

    Its pod is deleted and the namespace takes no other: a Deployment that somebody scales down, the operator repairs.
    """
    meta = {"name": "no-new-pods", "namespace": TRACKING_NAMESPACE}
    kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": "0"}}})
    selector = f"app.kubernetes.io/name=mlflow,app.kubernetes.io/instance={MLFLOW}"
    try:
        kubectl("-n", TRACKING_NAMESPACE, "delete", "pods", "-l", selector)
        wait_for("MLflow is away", lambda: not kubectl.objects("pods", TRACKING_NAMESPACE, selector), 180)
        yield
    finally:
        kubectl("-n", TRACKING_NAMESPACE, "delete", "resourcequota", meta["name"])
        # Its controller backs off after each refusal; a change makes it look at once.
        now = f"runwright.dev/looked-at={time.time()}"
        kubectl("-n", TRACKING_NAMESPACE, "annotate", "replicasets", "-l", selector, now, "--overwrite")
        rolled_out(kubectl, TRACKING_NAMESPACE, f"deployment/{MLFLOW}")


@contextmanager
def mlflow_port(kubectl: Kubectl) -> Iterator[int]:
    """MLflow's API on a local port; the forward ends with the pod behind it."""
    with kubectl.port_forward(TRACKING_NAMESPACE, f"service/{MLFLOW}", 5000) as port:
        yield port


@contextmanager
def scaled_to_zero(kubectl: Kubectl, namespace: str, deployment: str) -> Iterator[None]:
    """Take a Deployment that no TrackingStack owns away for the block's duration; it is back and ready at its end."""
    kubectl("-n", namespace, "scale", "deployment", deployment, "--replicas=0")
    try:
        selector = f"app.kubernetes.io/name={deployment}"
        wait_for(f"{deployment} is away", lambda: not kubectl.objects("pods", namespace, selector), 180)
        yield
    finally:
        kubectl("-n", namespace, "scale", "deployment", deployment, "--replicas=1")
        rolled_out(kubectl, namespace, f"deployment/{deployment}")
