"""The measured system: one control plane with simulated nodes and one operator, with or without a tracker."""

import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.bench.client import Access
from tests.bench.nodes import KWOK, start_kwok
from tests.bench.usage import Group
from tests.cluster import golang
from tests.cluster.controlplane import ControlPlane, Settings
from tests.cluster.shell import wait_until
from tests.support.installed import NAMESPACE, install
from tests.support.mlflow_server import MLflowServer, free_port
from tests.support.operator_process import COMMAND, OperatorProcess

Tracking = Literal["off", "mlflow"]
OPERATOR: Final = "operator"
MLFLOW: Final = "mlflow"
PROGRAMS: Final = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", KWOK)
STACK: Final = f"/apis/runwright.dev/v1alpha1/namespaces/{NAMESPACE}/trackingstacks/default"
_QPS: Final = ("--kube-api-qps=500", "--kube-api-burst=1000")
# Client limits and workers as in the peers' benchmark; no audit log, as there.
_SETTINGS: Final = Settings(
    controller_manager=True,
    scheduler=True,
    extra_arguments=("--audit-log-path=",),
    controller_manager_arguments=(*_QPS, "--concurrent-job-syncs=50"),
    scheduler_arguments=_QPS,
)


@dataclass(frozen=True)
class Bench:
    """What runs."""

    control_plane: ControlPlane
    operator: OperatorProcess
    tracking: Tracking
    mlflow: MLflowServer | None

    @property
    def access(self) -> Access:
        """The administrator's access."""
        return Access.to(self.control_plane)

    @property
    def groups(self) -> Mapping[str, Group]:
        """The processes by name."""
        found = {OPERATOR: Group(self.operator.pid)}
        for name in PROGRAMS:
            if pid := self.control_plane.daemons.pid(name):
                found[name] = Group(pid)
        if self.mlflow is not None and self.mlflow._process is not None:
            found[MLFLOW] = Group(self.mlflow._process.pid, session=True)
        return found

    def new_namespace(self, prefix: str) -> str:
        """Make a namespace and wait for its ServiceAccount `default`, without which no pod is made."""
        name = f"{prefix}-{uuid.uuid4().hex[:6]}"
        api = self.control_plane.client
        api.apply(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

        def there() -> bool:
            found = api.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts")["items"]
            return any(one["metadata"]["name"] == "default" for one in found)

        wait_until(there, 60, f"the ServiceAccount of namespace {name}")
        return name

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace and wait until it is gone, so that its end burdens nothing that is measured."""
        api = self.control_plane.client
        api.request("DELETE", f"/api/v1/namespaces/{name}")

        def gone() -> bool:
            found = api.request("GET", "/api/v1/namespaces")["items"]
            return all(one["metadata"]["name"] != name for one in found)

        wait_until(gone, 600, f"the end of namespace {name}")


@contextmanager
def running(tracking: Tracking, profile: Path | None = None, nodes: int = 10) -> Iterator[Bench]:
    """Start everything in a temporary folder; all of it ends with the block.

    Args:
        tracking: Whether there is a tracker.
        profile: Where cProfile writes what the operator did.
        nodes: How many simulated nodes.

    Raises:
        ClusterError: Something can't be built or started.
    """
    golang.ensure(["helm"])  # the chart's rights are rendered with it
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runwright-bench-")))
        control_plane = stack.enter_context(ControlPlane(folder / "control-plane", _SETTINGS))
        start_kwok(control_plane, nodes)
        stack.callback(control_plane.daemons.stop, KWOK)
        kubeconfig = install(control_plane)
        environ = {"RUNWRIGHT_LOG_LEVEL": "INFO", "RUNWRIGHT_LEASE_NAMESPACE": NAMESPACE}
        mlflow: MLflowServer | None = None
        if tracking == "off":
            environ["RUNWRIGHT_TRACKING"] = "off"
        else:
            port = free_port()
            server = MLflowServer(folder / "mlflow", port=port, allowed_hosts=f"127.0.0.1:{port}")
            mlflow = stack.enter_context(server)
            external = {"trackingUri": mlflow.uri}
            body = {
                "apiVersion": "runwright.dev/v1alpha1",
                "kind": "TrackingStack",
                "metadata": {"name": "default", "namespace": NAMESPACE},
                "spec": {"server": {"external": external}},
            }
            control_plane.client.apply(STACK, body)
            environ["RUNWRIGHT_DEFAULT_STACK"] = f"{NAMESPACE}/default"
        command = COMMAND if profile is None else (sys.executable, "-m", "tests.bench.profiled", str(profile.resolve()))
        operator = stack.enter_context(OperatorProcess(kubeconfig, folder / "operator", environ, command))
        if profile is not None:
            stack.callback(operator.stop)  # the profile is written at an orderly end only
        bench = Bench(control_plane, operator, tracking, mlflow)
        if tracking == "mlflow":
            api = control_plane.client
            operator.wait_for(lambda: api.request("GET", STACK).get("status", {}).get("trackingUri"), "the stack")
        yield bench
