"""The operator's chart: exactly the rights the operator asks for, the generated CRDs, settings it understands."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from runwright.operator import default_stack, rights, settings, stack_defaults
from runwright.ports import Key
from tests.charts import helm

pytestmark = pytest.mark.contract

Granted = set[tuple[str, str, str, str]]
LISTING: Final = {"list", "watch", "update", "delete", "deletecollection"}


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


def place(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def test_cluster_wide_rights_are_those_the_operator_asks_for() -> None:
    documents = helm.objects("runwright")
    assert granted(helm.the(documents, "ClusterRole", "runwright")["rules"]) == asked(*rights.NAMESPACED)
    assert granted(helm.the(documents, "ClusterRole", "runwright-cluster-id")["rules"]) == asked(rights.CLUSTER_ID)
    assert granted(helm.the(documents, "ClusterRole", "runwright-stacks")["rules"]) == asked(*rights.STACKS)
    lease = helm.the(documents, "Role")
    assert lease["metadata"]["namespace"] == helm.NAMESPACE
    assert granted(lease["rules"]) == asked(rights.LEASE)
    bound = {d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"}
    assert bound == {"runwright", "runwright-cluster-id"}


def test_with_named_namespaces_the_rights_end_there() -> None:
    documents = helm.objects("runwright", full=True)
    roles = {place(d): granted(d["rules"]) for d in documents if d["kind"] == "Role"}
    made = replace(rights.MAKE_DEFAULT_STACK, name="team")
    read = replace(rights.READ_DEFAULT_STACK, name="full-name-default-stack")
    assert roles == {
        ("team-a", "full-name"): asked(*rights.NAMESPACED),
        ("team-b", "full-name"): asked(*rights.NAMESPACED),
        (helm.NAMESPACE, "full-name"): asked(*rights.DEFAULT_STACK),
        (helm.NAMESPACE, "full-name-lease"): asked(rights.LEASE),
        (helm.NAMESPACE, "full-name-default-stack"): asked(made, read),
    }
    bound = [d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"]
    assert bound == ["full-name-cluster-id"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {helm.NAMESPACE}),
        ({"defaultStack": {"name": ""}}, {helm.NAMESPACE}),
        ({"defaultStack": {"namespace": "tracking"}}, {helm.NAMESPACE, "tracking"}),
        ({"stackNamespaces": ["team-a"]}, {"team-a", helm.NAMESPACE}),
        ({"stackNamespaces": ["team-a"], "defaultStack": {"name": ""}}, {"team-a"}),
        ({"watchNamespaces": ["team-a"], "defaultStack": {"name": ""}}, set()),
        ({"watchNamespaces": ["team-a"]}, {helm.NAMESPACE}),
        ({"rbac": {"stacks": False}}, set()),
    ],
)
def test_rights_on_stacks_are_bound_where_stacks_are_made_and_the_operator_knows_where(
    values: Mapping[str, Any], expected: set[str]
) -> None:
    documents = helm.manifests(helm.template("runwright", values))
    bindings = [d for d in documents if d["kind"] == "RoleBinding" and d["roleRef"]["name"] == "runwright-stacks"]
    assert {d["metadata"]["namespace"] for d in bindings} == expected
    assert {d["roleRef"]["kind"] for d in bindings} <= {"ClusterRole"}
    [container] = helm.the(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    told = helm.environment(container)["RUNWRIGHT_STACK_NAMESPACES"]
    assert set(filter(None, told.split(","))) == expected


@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
def test_nothing_too_powerful(full: bool) -> None:
    documents = helm.objects("runwright", full=full)
    for role in (d for d in documents if d["kind"] in {"Role", "ClusterRole"}):
        for group, resource, _, verb in granted(role["rules"]):
            assert "*" not in {group, resource, verb}
            assert resource not in {"pods/exec", "pods/attach", "serviceaccounts", "serviceaccounts/token", "nodes"}
            assert group != "rbac.authorization.k8s.io"
            assert verb not in {"escalate", "bind", "impersonate"}
            # Whoever lists Secrets reads them all.
            assert resource != "secrets" or (role["metadata"]["name"].endswith("-stacks") and verb not in LISTING)
    cluster_wide = {d["roleRef"]["name"] for d in documents if d["kind"] == "ClusterRoleBinding"}
    assert not any(name.endswith("-stacks") for name in cluster_wide)


@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
def test_every_binding_names_the_pods_account(full: bool) -> None:
    documents = helm.objects("runwright", full=full)
    pod = helm.the(documents, "Deployment")["spec"]["template"]["spec"]
    account = {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": helm.NAMESPACE}
    roles = {(d["kind"], *place(d)) for d in documents}
    bindings = [d for d in documents if d["kind"].endswith("RoleBinding")]
    assert bindings
    for binding in bindings:
        assert binding["subjects"] == [account]
        role = binding["roleRef"]
        where = "" if role["kind"] == "ClusterRole" else binding["metadata"]["namespace"]
        assert (role["kind"], where, role["name"]) in roles


def test_rights_made_by_others() -> None:
    values = {"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "given"}}
    documents = helm.manifests(helm.template("runwright", values))
    kinds = {d["kind"] for d in documents}
    assert kinds == {"CustomResourceDefinition", "Deployment", "FlowSchema", "NetworkPolicy", "Pod", "Service"}
    assert helm.the(documents, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "given"
    [rule] = helm.the(documents, "FlowSchema")["spec"]["rules"]
    assert rule["subjects"][0]["serviceAccount"] == {"name": "given", "namespace": helm.NAMESPACE}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"defaultStack": {"create": True, "namespace": "other"}}, "release's namespace tracking-ns"),
        ({"defaultStack": {"create": True, "name": ""}}, "needs defaultStack.name"),
        ({"defaultStack": {"namespace": "other", "name": ""}}, "a namespace needs a name"),
        ({"defaultStack": {"create": True}, "rbac": {"stacks": False}}, "needs rbac.stacks=true"),
        ({"watchNamespaces": ["a"], "stackNamespaces": ["b"]}, "stackNamespaces: b is not among watchNamespaces"),
        ({"defaultStack": {"create": True, "spec": {"sever": {}}}}, "sever"),
        ({"defaultStack": {"create": True, "spec": {"server": {"auth": "LDAP"}}}}, "auth"),
        ({"defaultStack": {"create": True, "spec": {"server": {"external": {"trackingUri": "x"}}}}}, "trackingUri"),
        ({"stackDefaults": {"objectStore": {}}}, "objectStore"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_remedy(values: Mapping[str, Any], said: str) -> None:
    assert said in helm.refusal("runwright", values)


def test_the_default_stacks_schema_is_the_crds(update_golden: bool) -> None:
    path = helm.CHARTS / "runwright/values.schema.json"
    schema = json.loads(path.read_text())
    crd = yaml.safe_load((helm.ROOT / "crds/runwright.dev_trackingstacks.yaml").read_text())
    [version] = crd["spec"]["versions"]
    wanted = as_json_schema(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    if update_golden:
        schema["definitions"]["trackingStackSpec"] = wanted
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    assert schema["definitions"]["trackingStackSpec"] == wanted, "run UPDATE_GOLDEN=1 pytest tests/charts"


def as_json_schema(node: Mapping[str, Any]) -> dict[str, Any]:
    """Write a structural schema as JSON schema: objects closed, quantities as text or number, rules left out."""
    kept = {key: value for key, value in node.items() if not key.startswith("x-kubernetes-") and key != "default"}
    if node.get("x-kubernetes-int-or-string"):
        number = {"type": "integer", "minimum": 0, "maximum": 2**53}
        text = {"type": "string", "maxLength": kept.pop("maxLength", 64)}
        text |= {"pattern": kept.pop("pattern")} if "pattern" in kept else {}
        return {"description": kept["description"], "anyOf": [number, text]}
    if "properties" in kept:
        kept["properties"] = {name: as_json_schema(child) for name, child in kept["properties"].items()}
        kept["additionalProperties"] = False
    for inner in ("items", "additionalProperties"):
        if isinstance(kept.get(inner), dict):
            kept[inner] = as_json_schema(kept[inner])
    return kept


def mounted(documents: Sequence[helm.Manifest], variable: str) -> Any:
    """Return what the file that a variable names holds."""
    pod = helm.the(documents, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    folder, _, file = helm.environment(container)[variable].rpartition("/")
    [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == folder]
    [volume] = [v for v in pod["volumes"] if v["name"] == mount["name"]]
    return helm.the(documents, "ConfigMap", volume["configMap"]["name"])["data"][file]


def test_the_operator_reads_the_default_stack_and_the_stacks_values(tmp_path: Path) -> None:
    documents = helm.objects("runwright", full=True)
    (tmp_path / "stack").write_text(mounted(documents, "RUNWRIGHT_DEFAULT_STACK_FILE"))
    wanted = default_stack.read(tmp_path / "stack")
    assert wanted.key == Key(helm.NAMESPACE, "team")
    assert helm.the(documents, "ConfigMap", wanted.config_map)["metadata"]["namespace"] == helm.NAMESPACE
    values = yaml.safe_load((helm.VALUES / "runwright.yaml").read_text())
    assert wanted.spec == values["defaultStack"]["spec"]
    (tmp_path / "defaults").write_text(mounted(documents, "RUNWRIGHT_STACK_DEFAULTS"))
    below = {"registry": "registry.example.com:5000"}
    common = {"image": below, "imagePullSecrets": [{"name": "pull-secret"}]}
    assert stack_defaults.read(tmp_path / "defaults") == {
        "postgresql": {**common, "image": {"registry": "elsewhere.example.com"}},
        "object-store": common,
        "mlflow": {
            **common,
            **values["stackDefaults"]["mlflow"],
            "backup": {"image": below},
            "restore": {"image": below},
        },
    }


def test_an_empty_spec_is_a_whole_stack(tmp_path: Path) -> None:
    documents = helm.manifests(helm.template("runwright", {"defaultStack": {"create": True}}))
    (tmp_path / "stack").write_text(mounted(documents, "RUNWRIGHT_DEFAULT_STACK_FILE"))
    assert default_stack.read(tmp_path / "stack").spec == {}


def test_the_pod_is_replaced_when_what_it_reads_at_its_start_changes() -> None:
    def annotations(values: Mapping[str, Any]) -> Any:
        documents = helm.manifests(helm.template("runwright", values))
        return helm.the(documents, "Deployment")["spec"]["template"]["metadata"].get("annotations")

    made = {"defaultStack": {"create": True}}
    versions: list[dict[str, Any]] = [
        {},
        made,
        {"defaultStack": {"create": True, "spec": {"deletionPolicy": "Delete"}}},
        {**made, "stackDefaults": {"mlflow": {"podLabels": {"a": "b"}}}},
        {**made, "podAnnotations": {"a": "b"}},
    ]
    found = [annotations(values) for values in versions]
    assert found[0] is None
    assert all(one != other for index, one in enumerate(found) for other in found[index + 1 :])
    assert found[4] == {**found[1], "a": "b"}


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
                "default_stack": "tracking-ns/default",
                "stack_namespaces": (helm.NAMESPACE,),
                "stack_defaults": None,
                "default_stack_file": None,
                "watch_namespaces": (),
                "concurrency": 32,
                "log_tail": True,
            },
        ),
        (
            True,
            {
                "default_stack": "tracking-ns/team",
                "stack_namespaces": ("team-a", helm.NAMESPACE),
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
