"""Installs the product on a test cluster the way a platform engineer does: Secrets, Helm, one TrackingStack."""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.kubectl import CLUSTER_FILE, ROOT, Kubectl, wait_for

OPERATOR_NAMESPACE = "runwright-system"
TRACKING_NAMESPACE = "runwright-tracking"
STACK = "default"
MLFLOW = "mlflow"
"""Name of MLflow's Deployment, Service and Ingress."""
UI_HOST = "mlflow.runwright.test"
VALUES = Path(__file__).resolve().parent / "values"
READY_SECONDS = 600


def restricted_namespace(name: str) -> dict[str, Any]:
    """A namespace that enforces the restricted Pod Security Standard."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": enforce}}


def helm(kubectl: Kubectl, *args: str) -> str:
    """Run the testbed's helm.

    Raises:
        RuntimeError: with helm's own message.
    """
    program = json.loads(CLUSTER_FILE.read_text()).get("bin", {}).get("helm", "helm")
    command = [program, "--kubeconfig", kubectl.kubeconfig, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(args[:3])}: {done.stderr.strip()}")
    return done.stdout


def install(kubectl: Kubectl, release: str, namespace: str, *args: str) -> None:
    """``helm upgrade --install`` of one of the project's charts with the testbed's values."""
    values = VALUES / f"{release}.yaml"
    given = ["--values", str(values)] if values.exists() else []
    helm(kubectl, "upgrade", "--install", release, f"charts/{release}", "--namespace", namespace, *given, *args)


def rolled_out(kubectl: Kubectl, namespace: str, *workloads: str) -> None:
    """Wait until workloads are ready; what the pods say is in the error."""
    for workload in workloads:
        done = kubectl.run("-n", namespace, "rollout", "status", workload, f"--timeout={READY_SECONDS}s", check=False)
        if done.returncode:
            told = kubectl.run("-n", namespace, "get", "pods,events", check=False).stdout
            raise RuntimeError(f"{workload} in {namespace} is not ready: {done.stderr.strip()}\n{told}")


def _secret(kubectl: Kubectl, name: str, values: dict[str, str]) -> None:
    """Make a Secret once; an existing one is kept, since volumes hold its passwords."""
    if kubectl.get("secret", name, TRACKING_NAMESPACE) is None:
        meta = {"name": name, "namespace": TRACKING_NAMESPACE}
        kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})


def object_store_credentials(kubectl: Kubectl) -> tuple[str, str]:
    """Access key and secret key of the object store."""
    data = (kubectl.get("secret", "object-store-credentials", TRACKING_NAMESPACE) or {})["data"]
    access, secret = (base64.b64decode(data[k]).decode() for k in ("accessKey", "secretKey"))
    return access, secret


def install_tracking(kubectl: Kubectl) -> None:
    """PostgreSQL, the object store and MLflow."""
    kubectl.apply(restricted_namespace(TRACKING_NAMESPACE))
    database = {"username": "mlflow", "password": secrets.token_hex(16), "database": "mlflow"}
    _secret(kubectl, "postgresql-credentials", database)
    keys = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
    _secret(kubectl, "object-store-credentials", keys)
    for release in ("postgresql", "object-store", "mlflow"):
        install(kubectl, release, TRACKING_NAMESPACE)
    rolled_out(kubectl, TRACKING_NAMESPACE, "statefulset/postgresql", "statefulset/object-store", "deployment/mlflow")


def upgrade_operator(kubectl: Kubectl, *args: str) -> None:
    """Install or upgrade the operator and wait for it."""
    install(
        kubectl,
        "runwright",
        OPERATOR_NAMESPACE,
        "--set",
        f"defaultStack.namespace={TRACKING_NAMESPACE},defaultStack.name={STACK}",
        *args,
    )
    rolled_out(kubectl, OPERATOR_NAMESPACE, "deployment/runwright")


def stack_namespaces(*names: str) -> tuple[str, str]:
    """Arguments that let the operator keep stacks in these namespaces, too, for `upgrade_operator`."""
    return "--set", f"stackNamespaces={{{','.join((TRACKING_NAMESPACE, *names))}}}"


def install_operator(kubectl: Kubectl) -> None:
    """The operator with its CRDs, and the TrackingStack that runs use by default."""
    kubectl.apply(restricted_namespace(OPERATOR_NAMESPACE))
    upgrade_operator(kubectl)
    kubectl.apply(
        {
            "apiVersion": "runwright.dev/v1alpha1",
            "kind": "TrackingStack",
            "metadata": {"name": STACK, "namespace": TRACKING_NAMESPACE},
            "spec": {"server": {"external": {"trackingUri": f"http://mlflow.{TRACKING_NAMESPACE}.svc:5000"}}},
        }
    )
    kubectl(
        "-n", TRACKING_NAMESPACE, "wait", "trackingstack", STACK, "--for=condition=Ready", f"--timeout={READY_SECONDS}s"
    )


def deploy(kubectl: Kubectl) -> None:
    """Install everything; what is there already is brought up to date."""
    install_tracking(kubectl)
    install_operator(kubectl)


@contextmanager
def scaled_to_zero(kubectl: Kubectl, namespace: str, deployment: str) -> Iterator[None]:
    """Take a Deployment away for the block's duration; it is back and ready at its end."""
    kubectl("-n", namespace, "scale", "deployment", deployment, "--replicas=0")
    try:
        selector = f"app.kubernetes.io/name={deployment}"
        wait_for(f"{deployment} is away", lambda: not kubectl.objects("pods", namespace, selector), 180)
        yield
    finally:
        kubectl("-n", namespace, "scale", "deployment", deployment, "--replicas=1")
        rolled_out(kubectl, namespace, f"deployment/{deployment}")
