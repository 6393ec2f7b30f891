"""Whom the API server lets wait: the renewals of the operator's Lease are told apart from all its other requests."""

from pathlib import Path

import pytest
import requests
import yaml

from tests.cluster.shell import eventually
from tests.contract.operator.conftest import Installed
from tests.support.installed import grant, rendered

pytestmark = pytest.mark.contract

FLOW = "X-Kubernetes-Pf-Flowschema-Uid"
LEVEL = "X-Kubernetes-Pf-Prioritylevel-Uid"
APF = "/apis/flowcontrol.apiserver.k8s.io/v1"


def headers(installed: Installed, kubeconfig: Path, path: str) -> requests.structures.CaseInsensitiveDict[str]:
    """Ask as the operator's ServiceAccount; the API server tells how it classified the request."""
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    answer = requests.get(
        installed.control_plane.admin_url + path,
        headers={"Authorization": f"Bearer {token}"},
        verify=str(installed.control_plane.ca_file),
        timeout=30,
    )
    return answer.headers


def test_the_lease_has_the_priority_of_leader_elections_and_nothing_else_does(
    installed: Installed, namespace: str
) -> None:
    kubeconfig = grant(installed.control_plane, namespace, [namespace])
    [schema] = rendered(namespace, "flowschema.yaml", {})
    applied = installed.admin.apply(f"{APF}/flowschemas/{schema['metadata']['name']}", schema)
    level = installed.admin.request("GET", f"{APF}/prioritylevelconfigurations/leader-election")
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/runwright-operator"
    eventually(lambda: headers(installed, kubeconfig, lease)[FLOW] == applied["metadata"]["uid"], 60)
    assert headers(installed, kubeconfig, lease)[LEVEL] == level["metadata"]["uid"]
    for other in (
        "/apis/coordination.k8s.io/v1/namespaces/default/leases/runwright-operator",
        f"/api/v1/namespaces/{namespace}/pods",
        f"/apis/runwright.dev/v1alpha1/namespaces/{namespace}/trainingruns",
    ):
        told = headers(installed, kubeconfig, other)
        assert told[FLOW] != applied["metadata"]["uid"]
        assert told[LEVEL] != level["metadata"]["uid"]
