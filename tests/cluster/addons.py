"""What the bare node's cluster holds from the start: the default StorageClass, and what DNS and volumes may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cluster.apiclient import ApiClient

STORAGE_CLASS = "standard"
PROVISIONER = "runwright.dev/testbed-local"
PROVISIONER_USER = "testbed:provisioner"
DNS_USER = "testbed:coredns"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_READ = ["get", "list", "watch"]
_RIGHTS: dict[str, list[dict[str, Any]]] = {
    DNS_USER: [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces", "endpoints"], "verbs": _READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
    ],
    PROVISIONER_USER: [
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": [*_READ, "create", "delete", "patch", "update"],
        },
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": [*_READ, "update", "patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": _READ},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses", "csinodes"], "verbs": _READ},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
    ],
}


def apply(client: ApiClient) -> None:
    """Apply them."""
    client.apply(
        f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
    )
    for user, rules in _RIGHTS.items():
        name = user.replace(":", "-")
        group = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
        client.apply(f"{_RBAC}/clusterroles/{name}", {**group, "kind": "ClusterRole", "rules": rules})
        client.apply(
            f"{_RBAC}/clusterrolebindings/{name}",
            {
                **group,
                "kind": "ClusterRoleBinding",
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            },
        )
