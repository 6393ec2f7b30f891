"""One API server for the tests of this folder; each test makes its own namespace."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.apiclient import ApiClient
from tests.cluster.controlplane import ControlPlane
from tests.support.api_proxy import ApiProxy
from tests.support.installed import grant, install
from tests.support.operator_process import OperatorProcess

TRACKING_OFF = {"RUNWRIGHT_TRACKING": "off"}
RUNS = "/apis/runwright.dev/v1alpha1/namespaces/{}/trainingruns"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"


@dataclass(frozen=True)
class Installed:
    """An API server with Runwright's CRDs and rights."""

    control_plane: ControlPlane
    kubeconfig: Path
    """Acts as the operator's ServiceAccount."""

    @property
    def admin(self) -> ApiClient:
        """The administrator."""
        return self.control_plane.client

    def new_run(self, namespace: str, name: str) -> dict[str, Any]:
        """Create a TrainingRun."""
        spec = {"image": "registry.example/trainer:1", "command": ["python3", "train.py"]}
        body = {"apiVersion": "runwright.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": name}, "spec": spec}
        return self.admin.request("POST", RUNS.format(namespace), body)

    def jobs(self, namespace: str) -> list[dict[str, Any]]:
        """List the Jobs of a namespace."""
        found: list[dict[str, Any]] = self.admin.request("GET", JOBS.format(namespace))["items"]
        return found


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    with ControlPlane() as control_plane:
        yield Installed(control_plane, install(control_plane))


@pytest.fixture
def namespace(installed: Installed) -> str:
    """A namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    installed.admin.request("POST", "/api/v1/namespaces", body)
    return name


@pytest.fixture
def proxy(installed: Installed) -> Iterator[ApiProxy]:
    with ApiProxy(installed.control_plane.admin_url, installed.control_plane.ca_file) as proxy:
        yield proxy


@pytest.fixture
def make_operator(installed: Installed, namespace: str, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Make operators that are installed in the test's namespace and watch only it; ended with the test."""
    made: list[OperatorProcess] = []

    def make(proxy: ApiProxy | None = None, **options: Any) -> OperatorProcess:
        where = options.pop("where", namespace)
        kubeconfig = grant(installed.control_plane, where, [where])
        if proxy is not None:
            kubeconfig = proxy.kubeconfig(kubeconfig, tmp_path / f"proxied-{proxy.port}.kubeconfig")
        environ = {
            **TRACKING_OFF,
            "RUNWRIGHT_WATCH_NAMESPACES": where,
            "RUNWRIGHT_LEASE_NAMESPACE": where,
            **options.pop("environ", {}),
        }
        made.append(OperatorProcess(kubeconfig, tmp_path, environ, **options))
        return made[-1]

    yield make
    for operator in made:
        operator.resume()
        operator.kill()
