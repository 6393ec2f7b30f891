"""The operator's chart: exactly the rights the operator asks for, the generated CRDs, settings it understands."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import yaml

from runwright.operator import rights, settings
from tests.charts import helm

pytestmark = pytest.mark.contract

Granted = set[tuple[str, str, str, str]]


def granted(rules: Iterable[Mapping[str, Any]]) -> Granted:
    """Return (group, resource[/subresource], name, verb) of every right."""
    return {
        (group, resource, name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def asked(*wanted: rights.Right) -> Granted:
    return {
        (r.group, f"{r.resource}/{r.subresource}" if r.subresource else r.resource, r.name, verb)
        for r in wanted
        for verb in r.verbs
    }


def test_cluster_wide_rights_are_those_the_operator_asks_for() -> None:
    documents = helm.objects("runwright")
    assert granted(helm.the(documents, "ClusterRole", "runwright")["rules"]) == asked(*rights.NAMESPACED)
    assert granted(helm.the(documents, "ClusterRole", "runwright-cluster-id")["rules"]) == asked(rights.CLUSTER_ID)
    lease = helm.the(documents, "Role")
    assert lease["metadata"]["namespace"] == helm.NAMESPACE
    assert granted(lease["rules"]) == asked(rights.LEASE)


def test_with_named_namespaces_the_rights_end_there() -> None:
    documents = helm.objects("runwright", full=True)
    roles = {d["metadata"]["namespace"]: granted(d["rules"]) for d in documents if d["kind"] == "Role"}
    stack = {right for right in asked(*rights.NAMESPACED) if right[1].startswith("trackingstacks")}
    assert roles == {
        "team-a": asked(*rights.NAMESPACED),
        "team-b": asked(*rights.NAMESPACED),
        "tracking": stack,
        helm.NAMESPACE: asked(rights.LEASE),
    }
    bound = [d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"]
    assert bound == ["full-name-cluster-id"]


@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
def test_nothing_too_powerful(full: bool) -> None:
    roles = [d for d in helm.objects("runwright", full=full) if d["kind"] in {"Role", "ClusterRole"}]
    for group, resource, _, verb in set.union(*(granted(role["rules"]) for role in roles)):
        assert "*" not in {group, resource, verb}
        assert resource not in {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token", "nodes"}
        assert verb not in {"escalate", "bind", "impersonate"}


@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
def test_every_binding_names_the_pods_account(full: bool) -> None:
    documents = helm.objects("runwright", full=full)
    pod = helm.the(documents, "Deployment")["spec"]["template"]["spec"]
    account = {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": helm.NAMESPACE}
    roles = {(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents}
    bindings = [d for d in documents if d["kind"].endswith("RoleBinding")]
    assert bindings
    for binding in bindings:
        assert binding["subjects"] == [account]
        namespace = binding["metadata"].get("namespace")
        assert (binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]) in roles


def test_rights_made_by_others() -> None:
    values = {"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "given"}}
    documents = helm.manifests(helm.template("runwright", values))
    kinds = {d["kind"] for d in documents}
    assert kinds == {"CustomResourceDefinition", "Deployment", "NetworkPolicy", "Service"}
    assert helm.the(documents, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "given"


def test_the_crds_are_the_generated_ones_and_stay_on_uninstall() -> None:
    generated = {path.name: path.read_text() for path in (helm.ROOT / "crds").glob("*.yaml")}
    carried = {path.name: path.read_text() for path in (helm.CHARTS / "runwright/files/crds").glob("*.yaml")}
    assert generated
    assert carried == generated
    rendered = [d for d in helm.objects("runwright") if d["kind"] == "CustomResourceDefinition"]
    sources = [yaml.safe_load(text) for text in generated.values()]
    assert sorted(rendered, key=lambda d: d["metadata"]["name"]) == sorted(sources, key=lambda d: d["metadata"]["name"])
    for crd in rendered:
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (
            False,
            {
                "default_stack": "runwright-tracking/default",
                "watch_namespaces": (),
                "concurrency": 32,
                "log_tail": True,
            },
        ),
        (
            True,
            {
                "default_stack": "tracking/team",
                "watch_namespaces": ("team-a", "team-b"),
                "concurrency": 64,
                "log_tail": False,
                "log_level": "WARNING",
                "log_format": "text",
                "cluster_domain": "cluster.example",
            },
        ),
    ],
    ids=["default", "full"],
)
def test_the_operator_understands_its_environment(full: bool, expected: dict[str, object]) -> None:
    deployment = helm.the(helm.objects("runwright", full=full), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    environment = {
        item["name"]: item.get("value", f"from-{item['name'].lower().replace('_', '-')}") for item in container["env"]
    }
    assert settings.unknown(environment) == ()
    understood = settings.read(environment)
    found = {name: getattr(understood, name) for name in expected}
    assert {**found, "default_stack": str(found["default_stack"])} == expected
    assert understood.lease_namespace == "from-runwright-lease-namespace"
    [port] = container["ports"]
    assert understood.http_port == port["containerPort"]


def test_no_default_stack() -> None:
    documents = helm.manifests(helm.template("runwright", {"defaultStack": {"namespace": "", "name": ""}}))
    [container] = helm.the(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert "RUNWRIGHT_DEFAULT_STACK" not in helm.environment(container)
