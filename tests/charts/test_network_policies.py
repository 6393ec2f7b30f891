"""Who reaches whom, by evaluating the rendered NetworkPolicies as Kubernetes defines them.

The bare test cluster has no agent that enforces them; this reads the same rules against the same labels and ports.
"""

from typing import Any

import pytest

from tests.charts import helm

pytestmark = pytest.mark.contract

PODS: dict[str, tuple[str, dict[str, str]]] = {
    "trainer": ("team-a", {"app.kubernetes.io/name": "runwright-trainer", "app.kubernetes.io/part-of": "runwright"}),
    "stranger": ("team-a", {"app": "web"}),
    "mlflow elsewhere": ("team-a", {"app.kubernetes.io/name": "mlflow"}),
}
PORTS = {"postgresql": 5432, "object-store": 9000, "mlflow": 5000, "runwright": 8080}


def pod_labels(chart: str) -> dict[str, str]:
    workload = next(d for d in helm.objects(chart) if d["kind"] in {"Deployment", "StatefulSet"})
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def whereabouts(who: str) -> tuple[str, dict[str, str]]:
    return PODS[who] if who in PODS else (helm.NAMESPACE, pod_labels(who))


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "the evaluation knows no other selectors"
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def peer_matches(peer: dict[str, Any], namespace: str, labels: dict[str, str]) -> bool:
    assert set(peer) <= {"podSelector", "namespaceSelector"}, "the evaluation knows no other peers"
    if "namespaceSelector" in peer:
        in_namespace = selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
    else:
        in_namespace = namespace == helm.NAMESPACE
    return in_namespace and selects(peer.get("podSelector", {}), labels)


def container_port(chart: str, port: int | str) -> int:
    workload = next(d for d in helm.objects(chart) if d["kind"] in {"Deployment", "StatefulSet"})
    [container] = workload["spec"]["template"]["spec"]["containers"]
    named = {p["name"]: p["containerPort"] for p in container["ports"]}
    return int(named.get(port, port))


def admits(chart: str, who: str, port: int) -> bool:
    namespace, labels = whereabouts(who)
    policy = helm.the(helm.objects(chart), "NetworkPolicy")["spec"]
    assert selects(policy["podSelector"], pod_labels(chart)), "the policy does not cover its own pod"
    assert "Ingress" in policy["policyTypes"]
    return any(
        any(peer_matches(peer, namespace, labels) for peer in rule["from"])
        and any(container_port(chart, allowed["port"]) == port for allowed in rule["ports"])
        for rule in policy["ingress"]
    )


def lets_out(chart: str, port: int) -> bool:
    policy = helm.the(helm.objects(chart), "NetworkPolicy")["spec"]
    if "Egress" not in policy["policyTypes"]:
        return True
    return any("to" not in rule and any(p["port"] == port for p in rule["ports"]) for rule in policy["egress"])


@pytest.mark.parametrize(
    ("chart", "reached_by"),
    [
        ("postgresql", {"mlflow"}),
        ("object-store", {"mlflow"}),
        ("mlflow", {"runwright", "trainer"}),
        # Its port has metrics and probes only.
        ("runwright", {"postgresql", "object-store", "mlflow", "trainer", "stranger", "mlflow elsewhere"}),
    ],
)
def test_each_part_is_reached_by_those_it_serves(chart: str, reached_by: set[str]) -> None:
    others = (set(helm.ALL) | set(PODS)) - {chart}
    assert {who for who in others if admits(chart, who, PORTS[chart])} == reached_by
    assert not any(admits(chart, who, 22) for who in others)


def test_who_must_call_out_can() -> None:
    assert lets_out("mlflow", PORTS["postgresql"])
    assert lets_out("mlflow", PORTS["object-store"])
    assert lets_out("mlflow", 53)
    assert lets_out("runwright", PORTS["mlflow"])


def test_who_calls_nobody_cannot() -> None:
    for chart in ("postgresql", "object-store"):
        assert not any(lets_out(chart, port) for port in (53, 80, 443, 5000))
    assert not lets_out("mlflow", 80)
