"""Who reaches whom, by evaluating the charts' NetworkPolicies over the pods of two stacks and of their neighbors.

The bare test cluster has no agent that enforces them; this asks the same rules about the same labels and ports.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import helm
from tests.support.network_policies import Address, End, Network, Pod

GOLDEN = Path(__file__).parent / "golden"
INTERNET = Address("198.51.100.7")
NODE_CACHE = Address("169.254.20.10")
SPACES = (helm.NAMESPACE, "team-a", "ingress-nginx", "kube-system")
STRANGERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "trainer": ("team-a", {"app.kubernetes.io/name": "runwright-trainer"}),
    "stranger": ("team-a", {"app": "web"}),
    "neighbor": (helm.NAMESPACE, {"app": "web"}),
    "pretender": ("team-a", {"app.kubernetes.io/name": "mlflow", "app.kubernetes.io/instance": "team-mlflow"}),
    "ingress": ("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
}


def documents(name: str, stack: str = "team") -> list[helm.Manifest]:
    text = (GOLDEN / f"{name}.yaml").read_text().replace("team", stack)
    return [document for document in yaml.safe_load_all(text) if document]


def templates(objects: list[helm.Manifest]) -> Mapping[str, Pod]:
    """The pods that controllers make."""
    found = {}
    for manifest in objects:
        spec: Any = manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            name = manifest["metadata"]["name"]
            found[name] = Pod.of(
                {**template, "metadata": {**template["metadata"], "name": name, "namespace": helm.NAMESPACE}}
            )
    return found


@cache
def world() -> tuple[Network, Mapping[str, End]]:
    """Two stacks in one namespace, the operator, and everybody else."""
    objects = [
        *(one for stack in ("team", "other") for chart in helm.STACK for one in documents(f"stack-{chart}", stack)),
        *documents("runwright-default"),
    ]
    policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
    spaces = [{"metadata": {"name": name}} for name in SPACES]
    others = {name: Pod(name, space, labels) for name, (space, labels) in STRANGERS.items()}
    ends: dict[str, End] = {**templates(objects), **others, "internet": INTERNET, "node's DNS": NODE_CACHE}
    return Network.of(spaces, policies), ends


def callers(whom: str, port: int, protocol: str = "TCP") -> set[str]:
    network, ends = world()
    return {name for name, end in ends.items() if name != whom and network.allows(end, ends[whom], port, protocol)}


def test_the_pods_are_those_of_the_charts() -> None:
    _, ends = world()
    assert {name for name in ends if name.startswith("team")} == {
        "team-postgresql",
        "team-object-store",
        "team-mlflow",
        "team-mlflow-gc",
        "team-mlflow-backup",
    }
    assert "runwright" in ends


@pytest.mark.parametrize("stack", ["team", "other"])
@pytest.mark.parametrize(("part", "port"), [("postgresql", 5432), ("object-store", 9000)])
def test_stores_are_reached_by_their_own_server_and_jobs_only(stack: str, part: str, port: int) -> None:
    mlflow = f"{stack}-mlflow"
    assert callers(f"{stack}-{part}", port) == {mlflow, f"{mlflow}-gc", f"{mlflow}-backup"}
    assert callers(f"{stack}-{part}", port + 1) == set()
    assert callers(f"{stack}-{part}", port, "UDP") == set()


@pytest.mark.parametrize("stack", ["team", "other"])
def test_the_server_is_reached_by_operator_training_pods_and_ingress_only(stack: str) -> None:
    assert callers(f"{stack}-mlflow", 5000) == {"runwright", "trainer", "ingress"}
    assert callers(f"{stack}-mlflow", 5001) == set()


@pytest.mark.parametrize("port", [80, 443, 5000, 5432, 8080, 9000])
def test_nobody_calls_the_jobs(port: int) -> None:
    assert callers("team-mlflow-gc", port) == set()
    assert callers("team-mlflow-backup", port) == set()


OPEN = ("dns", "stranger", "internet", "node's DNS")
NAMES = {(name, 53) for name in OPEN}
STORES = {("team-postgresql", 5432), ("team-object-store", 9000)}


@pytest.mark.parametrize(
    ("who", "whom"),
    [
        ("team-postgresql", set()),
        ("team-object-store", set()),
        ("team-mlflow", NAMES | STORES),
        ("team-mlflow-gc", NAMES | STORES),
        # The bucket of the backups is somebody else's, on its own port.
        ("team-mlflow-backup", NAMES | STORES | {(name, 9443) for name in OPEN}),
    ],
)
def test_whom_each_part_calls(who: str, whom: set[tuple[str, int]]) -> None:
    network, ends = world()
    asked = (
        *OPEN,
        *(f"{stack}-{part}" for stack in ("team", "other") for part in ("postgresql", "object-store", "mlflow")),
    )
    ports = (22, 53, 80, 443, 5000, 5432, 6443, 8080, 9000, 9443)
    found = {
        (name, port) for name in asked for port in ports if name != who and network.allows(ends[who], ends[name], port)
    }
    assert found == whom


def test_the_operators_port_has_metrics_and_probes_only_and_is_open() -> None:
    assert {"trainer", "stranger", "neighbor"} <= callers("runwright", 8080)


@pytest.mark.contract
def test_by_default_the_server_is_not_open_to_an_ingress_controller() -> None:
    policy = helm.the(helm.objects("mlflow"), "NetworkPolicy")
    controller = Pod("ingress", "ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"})
    server = templates(list(helm.objects("mlflow")))["mlflow"]
    network = Network.of([{"metadata": {"name": name}} for name in SPACES], [policy])
    assert not network.allows(controller, server, 5000)
    assert network.allows(Pod("trainer", "team-a", {"app.kubernetes.io/name": "runwright-trainer"}), server, 5000)


@pytest.mark.contract
def test_an_empty_list_of_callers_admits_nobody() -> None:
    values: dict[str, Any] = {"networkPolicy": {"from": []}}
    policy = helm.the(helm.manifests(helm.template("mlflow", values)), "NetworkPolicy")
    assert policy["spec"]["ingress"] == []
    for chart in ("postgresql", "object-store"):
        policy = helm.the(helm.manifests(helm.template(chart, values)), "NetworkPolicy")
        assert policy["spec"]["ingress"] == []
