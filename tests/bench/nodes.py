"""Simulated nodes: kwok acts as their kubelet, and its shipped stages let pods run and succeed at once."""

from pathlib import Path
from typing import Any

import yaml

from tests.cluster import golang
from tests.cluster.controlplane import ControlPlane, free_ports
from tests.cluster.errors import ClusterError
from tests.cluster.shell import replace_file, run, wait_until

KWOK = "kwok"
_MODULE = "sigs.k8s.io/kwok"
_STAGES = (
    "node/fast/node-initialize",
    "node/heartbeat-with-lease/node-heartbeat-with-lease",
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
)
_SELECTOR = ("kwok.x-k8s.io/node", "fake")
_SIZE = {"cpu": "1000", "memory": "4Ti", "pods": "10000"}


def start_kwok(control_plane: ControlPlane, nodes: int) -> None:
    """Start kwok beside the control plane's processes, make the nodes and wait until they are Ready.

    Raises:
        ClusterError: kwok can't be built, or its nodes are not Ready within 60 s; with the end of its log.
    """
    program = golang.ensure([KWOK])[KWOK]
    config = control_plane.directory / "kwok.yaml"
    replace_file(config, _configuration())
    port = free_ports(1)[0]
    control_plane.daemons.start(
        KWOK,
        [
            program,
            f"--kubeconfig={control_plane.kubeconfig}",
            f"--config={config}",
            f"--server-address=127.0.0.1:{port}",
        ],
    )
    for number in range(nodes):
        node = _node(f"fake-{number}")
        control_plane.client.apply(f"/api/v1/nodes/{node['metadata']['name']}", node)

    def ready() -> bool:
        found = control_plane.client.request("GET", "/api/v1/nodes")["items"]
        conditions = [condition for node in found for condition in node.get("status", {}).get("conditions", ())]
        count = sum(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return count >= nodes or control_plane.daemons.pid(KWOK) is None

    wait_until(ready, 60, f"{nodes} simulated nodes Ready", f"look at {control_plane.daemons.log(KWOK)}")
    if control_plane.daemons.pid(KWOK) is None:
        raise ClusterError(f"kwok ended:\n{control_plane.daemons.tail(KWOK)}")


def _configuration() -> str:
    """The peers' settings (docs/benchmarks.md) and the stages out of the Go module."""
    source = golang.PROGRAMS[KWOK].source
    module = run(["go", "list", "-m", "-f", "{{.Dir}}", _MODULE], cwd=source, remedy="install Go 1.26 or later")
    folder = Path(module.stdout.strip()) / "kustomize" / "stage"
    options = {
        "cidr": "10.0.0.0/24",
        "nodePort": 0,
        "manageAllNodes": False,
        "manageNodesWithAnnotationSelector": "=".join(_SELECTOR),
        "nodeLeaseDurationSeconds": 40,
        "nodeLeaseParallelism": 4,
        "nodePlayStageParallelism": 4,
        "podPlayStageParallelism": 16,
    }
    head = {"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "options": options}
    return "\n---\n".join([yaml.safe_dump(head), *((folder / f"{name}.yaml").read_text() for name in _STAGES)])


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {_SELECTOR[0]: _SELECTOR[1], "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": KWOK},
        },
        "status": {"allocatable": _SIZE, "capacity": _SIZE},
    }
