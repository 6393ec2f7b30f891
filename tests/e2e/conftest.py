"""Fixtures of the end-to-end tests: the testbed's node with everything installed by Helm, as a user would."""

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs
from tests.e2e.stacks import Stacks
from tests.support.kubectl import Kubectl
from tests.support.mlflow_view import MLflowView


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    """The testbed's kubectl; a missing cluster fails with the remedy."""
    return Kubectl.of_testbed()


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> None:
    """The tracking stack and the operator, installed by Helm."""
    deploy.deploy(kubectl)


@pytest.fixture
def mlflow(kubectl: Kubectl, installed: None) -> Iterator[MLflowView]:
    """MLflow through a port-forward of the test's own: it ends with the pod behind it."""
    with deploy.mlflow_port(kubectl) as port:
        yield MLflowView(f"http://127.0.0.1:{port}")


@pytest.fixture
def namespace(kubectl: Kubectl, installed: None) -> Iterator[str]:
    """A namespace of the test's own that enforces restricted Pod Security."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl.apply(deploy.restricted_namespace(name))
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def runs(kubectl: Kubectl, namespace: str) -> Runs:
    """Applies and watches TrainingRuns in the test's namespace."""
    return Runs(kubectl, namespace)


@pytest.fixture(scope="module")
def stacks(kubectl: Kubectl, installed: None) -> Iterator[Stacks]:
    """A namespace in which the operator may keep stacks."""
    namespace = f"e2e-stack-{uuid.uuid4().hex[:6]}"
    kubectl.apply(deploy.restricted_namespace(namespace))
    deploy.upgrade_operator(kubectl, *deploy.stack_namespaces(namespace))
    yield Stacks(kubectl, namespace)
    kubectl.run("delete", "namespace", namespace, "--wait=false", check=False)  # the last test does it
    deploy.upgrade_operator(kubectl)
