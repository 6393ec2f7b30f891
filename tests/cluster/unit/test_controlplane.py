"""The API server without a node, as contract tests use it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import golang
from tests.cluster.apiclient import ApiClient
from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.cluster.process import identify
from tests.cluster.shell import eventually, run

pytestmark = pytest.mark.contract
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/team-a"
RBAC_KIND: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1"}
# Not the ClusterRole `view`: it is put together by kube-controller-manager, which does not run here.
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane() as started:
        yield started


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_two_live_side_by_side_and_leave_nothing(control_plane: ControlPlane) -> None:
    with ControlPlane() as other:
        assert other.admin_url != control_plane.admin_url
        other.client.request("POST", CONFIG_MAPS, config_map("only-there"))
        with pytest.raises(ClusterError, match="404"):
            control_plane.client.request("GET", f"{CONFIG_MAPS}/only-there")
        pids = [other.daemons.pid(name) for name in other.daemons.names()]
        assert len(pids) == 2
        directory = other.directory
    assert [identify(pid) for pid in pids if pid] == [None, None]
    assert not directory.exists()


def test_data_survives_the_api_servers_death(control_plane: ControlPlane) -> None:
    control_plane.client.request("POST", CONFIG_MAPS, config_map("kept"))
    control_plane.kill_apiserver()
    assert not control_plane.client.ready()
    with pytest.raises(ClusterError):
        control_plane.client.request("GET", f"{CONFIG_MAPS}/kept")
    control_plane.restart_apiserver()
    assert control_plane.client.request("GET", f"{CONFIG_MAPS}/kept")["metadata"]["name"] == "kept"


def test_service_account_has_its_own_rights_only(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.kubeconfig_for_service_account("team-a", "worker")
    kubectl = golang.find_or_ensure("kubectl")
    who = json.loads(run([kubectl, "--kubeconfig", kubeconfig, "auth", "whoami", "-o", "json"]).stdout)
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:team-a:worker"
    with pytest.raises(ClusterError, match="forbidden"):
        run([kubectl, "--kubeconfig", kubeconfig, "get", "pods"])
    control_plane.client.apply(
        f"{RBAC}/roles/reader", RBAC_KIND | {"kind": "Role", "metadata": {"name": "reader"}, "rules": [READ_PODS]}
    )
    control_plane.client.apply(
        f"{RBAC}/rolebindings/worker",
        RBAC_KIND
        | {
            "kind": "RoleBinding",
            "metadata": {"name": "worker"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "team-a"}],
        },
    )
    allowed: list[str | Path] = [kubectl, "--kubeconfig", kubeconfig, "get", "pods"]
    assert eventually(lambda: run(allowed, check=False).returncode == 0, 20)  # the authorizer watches RBAC


def test_every_request_is_in_the_audit_log(control_plane: ControlPlane) -> None:
    control_plane.client.request("POST", CONFIG_MAPS, config_map("counted"))
    found = [
        event["verb"]
        for event in control_plane.audit_events()
        if event.get("objectRef", {}).get("name") == "counted" and event["user"]["username"] == "kubernetes-admin"
    ]
    assert found == ["create"]


def test_strangers_are_refused(control_plane: ControlPlane) -> None:
    control_plane.authority.issue("stranger", "stranger")
    stranger = ApiClient(control_plane.admin_url, control_plane.authority, "stranger")
    with pytest.raises(ClusterError, match=r'403: .*"stranger" cannot list'):
        stranger.request("GET", CONFIG_MAPS)


def test_program_that_ends_at_once_is_shown_with_its_log(tmp_path: Path) -> None:
    control_plane = ControlPlane(tmp_path)
    (tmp_path / "etcd").write_text("a file where etcd wants a folder")
    with pytest.raises(ClusterError, match=r"did not become ready[\s\S]*etcd"):
        control_plane.start()
    assert control_plane.daemons.names() == ()
