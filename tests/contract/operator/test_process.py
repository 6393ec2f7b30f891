"""The operator process: start, stop, the Lease, and what it says when it cannot work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane, free_ports
from tests.contract.operator.conftest import TRACKING_OFF, Installed
from tests.support.api_proxy import ApiProxy
from tests.support.installed import release
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/runwright-operator"
MakeOperator = Callable[..., OperatorProcess]


def test_starts_works_and_releases_the_lease_on_sigterm(
    installed: Installed, namespace: str, make_operator: MakeOperator
) -> None:
    operator = make_operator().start().wait_ready()
    lease = LEASE.format(namespace)
    held = installed.admin.request("GET", lease)
    assert held["spec"]["holderIdentity"] == f"operator-{operator.port}"
    account = installed.admin.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{release(namespace)}")
    assert held["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "name": release(namespace),
            "uid": account["metadata"]["uid"],
        }
    ]
    assert operator.probe("healthz") == (200, {"status": "ok", "problems": {}})
    installed.new_run(namespace, "hello")
    operator.wait_for(lambda: installed.jobs(namespace), "the Job")
    assert operator.stop() == 0
    assert installed.admin.request("GET", lease)["spec"]["holderIdentity"] == ""
    assert [line["message"] for line in operator.logged() if line["level"] in ("warning", "error", "critical")] == []


def test_the_next_operator_waits_and_takes_over_when_the_lease_is_released(
    installed: Installed, namespace: str, make_operator: MakeOperator
) -> None:
    first, second = make_operator().start().wait_ready(), make_operator().start()
    waiting = f"held by operator-{first.port}"
    second.wait_for(lambda: waiting in second.tail(), "the second operator waits for the Lease")
    assert second.probe("readyz")[0] == 503
    assert second.probe("healthz")[0] == 200
    assert first.stop() == 0
    second.wait_ready(seconds=12)  # not the 15 s that an unreleased Lease lasts
    spec = installed.admin.request("GET", LEASE.format(namespace))["spec"]
    assert spec["holderIdentity"] == f"operator-{second.port}"
    assert spec["leaseTransitions"] == 1


def test_a_paused_leader_that_wakes_up_after_another_took_over_writes_nothing_and_ends(
    installed: Installed, namespace: str, make_operator: MakeOperator, proxy: ApiProxy
) -> None:
    old, new = make_operator(proxy).start().wait_ready(), make_operator().start()
    new.wait_for(lambda: "Waiting for the Lease" in new.tail(), "the new operator waits")
    old.pause()
    new.wait_ready(seconds=60)
    before = len(proxy.writes())
    installed.new_run(namespace, "hello")  # events for the old one too, when it wakes up
    new.wait_for(lambda: installed.jobs(namespace), "the new leader's Job")
    old.resume()
    assert old.wait_exit() == 1
    assert len(proxy.writes()) == before
    assert len(installed.jobs(namespace)) == 1
    assert new.probe("healthz")[0] == 200
    assert "Lease" in last_words(old)


def test_cluster_wide_with_the_charts_defaults(installed: Installed, namespace: str, tmp_path: Path) -> None:
    with OperatorProcess(installed.kubeconfig, tmp_path, TRACKING_OFF) as operator:
        installed.new_run(namespace, "hello")
        operator.wait_for(lambda: installed.jobs(namespace), "the Job")
        assert operator.stop() == 0


def test_missing_crds_are_one_line(tmp_path: Path) -> None:
    with ControlPlane() as bare:
        kubeconfig = bare.kubeconfig_for_service_account("runwright-system", "runwright")
        operator = OperatorProcess(kubeconfig, tmp_path).start()
        assert operator.wait_exit(90) == 1
    message = last_words(operator)
    assert "trainingruns.runwright.dev" in message
    assert "trackingstacks.runwright.dev" in message
    assert "runwright crds | kubectl apply" in message


def test_missing_rights_are_named_in_one_line(installed: Installed, tmp_path: Path) -> None:
    kubeconfig = installed.control_plane.kubeconfig_for_service_account("runwright-system", "powerless")
    operator = OperatorProcess(kubeconfig, tmp_path).start()
    assert operator.wait_exit(90) == 1
    message = last_words(operator)
    assert message.startswith("system:serviceaccount:runwright-system:powerless lacks rights: ")
    for right in (
        "get,list,watch,delete trainingruns.runwright.dev cluster-wide",
        "patch trainingruns/status.runwright.dev cluster-wide",
        "get,list,watch,create,delete jobs.batch cluster-wide",
        "get pods/log cluster-wide",
        "get,create,update leases.coordination.k8s.io in runwright-system",
    ):
        assert right in message


def test_one_missing_verb_is_named_alone(installed: Installed, namespace: str, make_operator: MakeOperator) -> None:
    operator = make_operator()
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{release(namespace)}"
    granted = installed.admin.request("GET", role)
    for rule in granted["rules"]:
        if rule["resources"] == ["jobs"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != "delete"]
    installed.admin.request("PUT", role, granted)
    assert operator.start().wait_exit(90) == 1
    assert f"lacks rights: delete jobs.batch in {namespace}. The chart" in last_words(operator)


def test_a_stack_namespace_that_is_gone_ends_nobody_and_a_right_that_is_missing_in_one_does(
    installed: Installed, namespace: str, make_operator: MakeOperator
) -> None:
    """A deleted namespace takes its binding along; the operator still serves the others."""
    environ = {"RUNWRIGHT_STACK_NAMESPACES": f"{namespace},gone"}
    operator = make_operator(environ=environ).start().wait_ready()
    warnings = [line["message"] for line in operator.logged() if line["level"] == "warning"]
    assert warnings == ["No TrackingStack can be made in gone: nothing grants the rights on stacks there"]
    assert operator.stop() == 0
    operator = make_operator(environ=environ)
    role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{release(namespace)}-stacks"
    granted = installed.admin.request("GET", role)
    for rule in granted["rules"]:
        if "secrets" in rule["resources"]:
            rule["verbs"].remove("patch")
        if "ingresses" in rule["resources"]:
            rule["verbs"].remove("delete")
    installed.admin.request("PUT", role, granted)
    assert operator.start().wait_exit(90) == 1
    expected = ("patch secrets", "delete networkpolicies.networking.k8s.io", "delete ingresses.networking.k8s.io")
    missing = "; ".join(f"{right} in {namespace}" for right in expected)
    assert f"lacks rights: {missing}. The chart" in last_words(operator)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RUNWRIGHT_CONCURRENCY": "many"}, "RUNWRIGHT_CONCURRENCY='many': must be a whole number from 1 to 512"),
        ({"KUBECONFIG": "/nonexistent/config"}, "No kubeconfig at /nonexistent/config"),
    ],
)
def test_wrong_settings_are_named_in_one_line(
    installed: Installed, tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    operator = OperatorProcess(installed.kubeconfig, tmp_path, environ).start()
    assert operator.wait_exit() == 1
    assert expected in operator.tail().splitlines()[-1]
    assert "Traceback" not in operator.tail()


def test_a_port_in_use_is_named_in_one_line(installed: Installed, tmp_path: Path) -> None:
    taken = free_ports(1)[0]
    first = OperatorProcess(installed.kubeconfig, tmp_path, {"RUNWRIGHT_HTTP_PORT": str(taken)})
    first.port = taken
    first.start()
    try:
        first.wait_for(lambda: first.probe("readyz")[0], "the port is taken")
        second = OperatorProcess(installed.kubeconfig, tmp_path, {"RUNWRIGHT_HTTP_PORT": str(taken)}).start()
        assert second.wait_exit() == 1
        assert f"RUNWRIGHT_HTTP_PORT={taken} cannot be used" in last_words(second)
    finally:
        first.kill()


def last_words(operator: OperatorProcess) -> str:
    """The one critical line, which is the last and has no traceback."""
    lines = operator.logged()
    critical = [line for line in lines if line["level"] == "critical"]
    assert critical == lines[-1:]
    assert "error" not in critical[0]
    assert "\n" not in critical[0]["message"]
    return str(critical[0]["message"])
