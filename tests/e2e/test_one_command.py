"""One command installs a working product, `helm test` agrees, the notes are true; uninstalling leaves the data only."""

import re
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs, run_id
from tests.support.kubectl import Kubectl, wait_for
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

ALWAYS_THERE = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}
KEPT = {
    ("persistentvolumeclaims", "data-default-object-store-0"),
    ("persistentvolumeclaims", "data-default-postgresql-0"),
    ("secrets", "default-object-store-credentials"),
    ("secrets", "default-postgresql-credentials"),
}
"""What `deletionPolicy: Retain` keeps."""
PASSING = ("events", "pods.metrics", "endpoints", "controllerrevisions")
"""Kinds that Kubernetes clears away by itself, later or with what they belong to."""


@dataclass(frozen=True)
class Product:
    """A second installation, which watches nothing but its own namespace."""

    kubectl: Kubectl
    namespace: str
    release: str

    def values(self, **stack: Any) -> dict[str, Any]:
        """The testbed's, for this namespace; the CustomResourceDefinitions are the first installation's."""
        made = {"create": True, "spec": {}, **stack}
        return {
            **deploy.values(),
            "crds": {"install": False},
            "watchNamespaces": [self.namespace],
            "defaultStack": made,
        }

    def install(self, **stack: Any) -> None:
        """The one command; the same again is an upgrade."""
        deploy.install(self.kubectl, self.release, self.namespace, self.values(**stack))

    def helm(self, *args: str) -> str:
        """Run helm in the namespace."""
        return deploy.helm(self.kubectl, *args, "--namespace", self.namespace)

    def names(self) -> set[tuple[str, str]]:
        """Everything in the namespace: (resource, name)."""
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        wanted = [kind for kind in kinds if not kind.startswith(PASSING)]
        told = self.kubectl("-n", self.namespace, "get", ",".join(wanted), "-o", "name").split()
        return {(kind.partition(".")[0] + "s", name) for kind, _, name in (one.partition("/") for one in told)}


@pytest.fixture
def product(kubectl: Kubectl, namespace: str) -> Iterator[Product]:
    """The first operator watches all namespaces and would see to this one's objects, too: it is away meanwhile."""
    with deploy.scaled_to_zero(kubectl, deploy.OPERATOR_NAMESPACE, "runwright"):
        made = Product(kubectl, namespace, f"one-{uuid.uuid4().hex[:6]}")
        yield made
        deploy.helm(kubectl, "uninstall", made.release, "--namespace", namespace, "--ignore-not-found")
        kubectl("-n", namespace, "delete", "trackingstacks", "--all", "--wait=true")


def first_run(notes: str) -> str:
    """The manifest that the notes tell to apply."""
    found = re.search(r"apply -f - <<END\n(.*?)\n *END\n", notes, re.DOTALL)
    assert found, notes
    return textwrap.dedent(found[1])


def test_one_command_gives_a_working_product_and_uninstalling_leaves_its_data(
    kubectl: Kubectl, product: Product, runs: Runs
) -> None:
    product.install()
    ready = deploy.stack_ready(kubectl, product.namespace)
    [owner] = ready["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ConfigMap", f"{product.release}-runwright-default-stack")
    tested = product.helm("test", product.release, "--logs")
    assert "Phase:          Succeeded" in tested
    assert f"MLflow answers at {ready['status']['trackingUri']}" in tested

    runs.apply(first_run(product.helm("get", "notes", product.release)))
    status = runs.closed("hello", "Succeeded", 400)
    assert status["objective"]["value"] == "0.1"
    with kubectl.port_forward(product.namespace, f"service/{deploy.MLFLOW}", 5000) as port:
        assert MLflowView(f"http://127.0.0.1:{port}").run(run_id(status))["status"] == "FINISHED"

    # An upgrade changes the stack.
    product.install(spec={"server": {"gc": {}}})
    wait_for("the CronJob", lambda: ("cronjobs", f"{deploy.MLFLOW}-gc") in product.names(), 120)

    # Without create it goes; with it, it comes back with what it held.
    product.install(create=False)
    wait_for("the stack is gone", lambda: not kubectl.get("trackingstack", deploy.STACK, product.namespace), 120)
    product.install()
    deploy.stack_ready(kubectl, product.namespace)
    with kubectl.port_forward(product.namespace, f"service/{deploy.MLFLOW}", 5000) as port:
        assert MLflowView(f"http://127.0.0.1:{port}").run(run_id(status))["status"] == "FINISHED"

    kubectl("-n", product.namespace, "delete", "trun", "hello")
    product.helm("uninstall", product.release)
    wait_for("nothing but the data", lambda: product.names() - ALWAYS_THERE == KEPT, 180)
    kinds = "clusterroles,clusterrolebindings,flowschemas"
    label = f"app.kubernetes.io/instance={product.release}"
    assert kubectl("get", kinds, "-l", label, "-o", "name") == ""
