"""An API server with Runwright installed as the chart installs it: CRDs, ServiceAccount, rights; no operator yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runwright.operator.rights import CLUSTER_ID, LEASE, NAMESPACED, Right
from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.cluster.shell import eventually

ROOT = Path(__file__).parents[2]
NAMESPACE = "runwright-system"
ACCOUNT = "runwright"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def install_crds(control_plane: ControlPlane) -> None:
    """Apply the CRDs and wait until they are served."""
    api = control_plane.client
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        where = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
        api.apply(where, crd)

        def established(where: str = where) -> bool:
            conditions = api.request("GET", where).get("status", {}).get("conditions") or ()
            return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

        def served(path: str = f"/apis/runwright.dev/v1alpha1/{crd['spec']['names']['plural']}") -> bool:
            try:
                api.request("GET", path)
            except ClusterError:  # 404, then 429 while its storage is initialized
                return False
            return True

        eventually(established, 30)
        eventually(served, 30)


def install(control_plane: ControlPlane) -> Path:
    """Apply CRDs and rights; returns the kubeconfig of the operator's ServiceAccount."""
    install_crds(control_plane)
    kubeconfig = control_plane.kubeconfig_for_service_account(NAMESPACE, ACCOUNT)
    for path, manifest in _rbac():
        control_plane.client.apply(path, manifest)
    return kubeconfig


def _rbac() -> Iterator[tuple[str, dict[str, Any]]]:
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    meta: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "runwright"}}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "name": "runwright"}
    rules = [_rule(right) for right in (*NAMESPACED, LEASE, CLUSTER_ID)]
    yield f"{RBAC}/clusterroles/runwright", {**meta, "kind": "ClusterRole", "rules": rules}
    binding = {**meta, "kind": "ClusterRoleBinding", "roleRef": {**ref, "kind": "ClusterRole"}, "subjects": [subject]}
    yield f"{RBAC}/clusterrolebindings/runwright", binding


def _rule(right: Right) -> dict[str, Any]:
    resource = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
    rule: dict[str, Any] = {"apiGroups": [right.group], "resources": [resource], "verbs": list(right.verbs)}
    return {**rule, "resourceNames": [right.name]} if right.name else rule
