"""The table of rights, and what of it an operator asks for at its start."""

from pathlib import Path

from runwright.operator.preflight import wanted
from runwright.operator.rights import (
    CLUSTER_ID,
    DEFAULT_STACK,
    LEASE,
    MAKE_DEFAULT_STACK,
    NAMESPACED,
    READ_DEFAULT_STACK,
    STACKS,
    Right,
)
from runwright.operator.settings import Settings
from runwright.ports import Key
from tools import rights

EVERYWHERE = (*NAMESPACED, *DEFAULT_STACK, MAKE_DEFAULT_STACK, READ_DEFAULT_STACK, LEASE, CLUSTER_ID)
MANIFEST = """
metadata: {name: team, namespace: ops, annotations: {runwright.dev/config-map: rw-default-stack}}
"""


def asked(settings: Settings) -> set[str]:
    return {f"{right} in {namespace or 'all'}" for right, namespace in wanted(settings)}


def test_no_right_is_a_wildcard_or_reaches_into_pods_or_roles() -> None:
    for right in (*EVERYWHERE, *STACKS):
        assert "*" not in (right.group, right.resource, *right.verbs)
        assert right.subresource not in ("exec", "attach", "portforward", "token")
        assert right.resource != "serviceaccounts"
        assert right.group != "rbac.authorization.k8s.io"
        assert right.purpose


def test_secrets_are_for_stacks_only_and_never_listed() -> None:
    assert not any(right.resource == "secrets" for right in EVERYWHERE)
    [secrets] = [right for right in STACKS if right.resource == "secrets"]
    assert set(secrets.verbs) == {"get", "create", "patch"}


def test_cluster_wide() -> None:
    settings = Settings(default_stack=Key("ops", "default"), lease_namespace="ops")
    assert asked(settings) == {
        *(f"{right} in all" for right in NAMESPACED),
        "get,create,update leases.coordination.k8s.io in ops",
        "get namespaces named kube-system in all",
    }


def test_in_named_namespaces_with_a_default_stack_outside_that_the_operator_keeps(tmp_path: Path) -> None:
    (tmp_path / "stack").write_text(MANIFEST)
    settings = Settings(
        default_stack=Key("ops", "team"),
        watch_namespaces=("a", "b"),
        lease_namespace="ops",
        default_stack_file=tmp_path / "stack",
    )
    assert asked(settings) == {
        *(f"{right} in {namespace}" for right in NAMESPACED for namespace in ("a", "b")),
        "get,list trackingstacks.runwright.dev in ops",
        "patch trackingstacks/status.runwright.dev in ops",
        "create,patch trackingstacks.runwright.dev named team in ops",
        "get configmaps named rw-default-stack in ops",
        "get,create,update leases.coordination.k8s.io in ops",
        "get namespaces named kube-system in all",
    }


def test_a_right_reads_as_kubectl_writes_it() -> None:
    assert str(Right("batch", "jobs", ("get", "list"))) == "get,list jobs.batch"
    assert str(Right("", "pods", ("get",), subresource="log")) == "get pods/log"


def test_the_tables_of_the_guide_and_of_the_chart_are_current() -> None:
    assert rights.main(["--check"]) == 0
