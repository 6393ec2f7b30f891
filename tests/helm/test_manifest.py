"""A release's manifest as helm applies it."""

import pytest

from runwright.helm.manifest import lasting, objects, owned_by_helm, title
from runwright.helm.process import environment
from runwright.ports import Key

RELEASE = Key("team", "a-mlflow")
MANIFEST = """\
---
# Source: mlflow/templates/service.yaml
apiVersion: v1
kind: Service
metadata:
  name: a-mlflow
  labels: {app: mlflow}
spec: {type: ClusterIP}
---
# nothing here
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: b
  namespace: other
  annotations: {note: "x"}
"""


def test_objects_come_in_order_with_what_helm_adds() -> None:
    service, config_map = objects(MANIFEST, RELEASE)
    assert service["metadata"] == {
        "name": "a-mlflow",
        "namespace": "team",
        "labels": {"app": "mlflow", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "a-mlflow", "meta.helm.sh/release-namespace": "team"},
    }
    assert service["spec"] == {"type": "ClusterIP"}
    assert config_map["metadata"]["namespace"] == "other"
    assert config_map["metadata"]["annotations"]["note"] == "x"
    assert [title(one) for one in (service, config_map)] == ["Service a-mlflow", "ConfigMap b"]


@pytest.mark.parametrize("manifest", ["", "---\n", "---\n# nothing\n---\n"])
def test_an_empty_manifest_has_no_objects(manifest: str) -> None:
    assert objects(manifest, RELEASE) == ()


def test_what_is_no_yaml_is_told() -> None:
    with pytest.raises(ValueError, match="not YAML"):
        objects("a: [", RELEASE)


def test_history_and_status_do_not_last() -> None:
    metadata = {"name": "a", "uid": "u", "generation": 3, "resourceVersion": "7", "managedFields": []}
    obj = {"kind": "Service", "metadata": metadata, "spec": {"a": 1}, "status": {"b": 2}}
    assert lasting(obj) == {"kind": "Service", "metadata": {"name": "a", "uid": "u"}, "spec": {"a": 1}}


def test_a_users_own_helm_settings_do_not_count(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    inherited = {
        "PATH": "/bin",
        "HOME": "/home/user",
        "KUBECONFIG": "/home/user/config",
        "HELM_NAMESPACE": "elsewhere",
        "HELM_DRIVER": "sql",
        "RUNWRIGHT_LOG_LEVEL": "DEBUG",
        "HTTPS_PROXY": "http://proxy:3128",
    }
    pod = environment(inherited, "", home)
    assert "KUBECONFIG" not in pod
    assert pod["HOME"] == str(home)
    assert "HELM_NAMESPACE" not in pod
    assert pod["HELM_DRIVER"] == "configmap"
    assert pod["HTTPS_PROXY"] == "http://proxy:3128"
    assert not any(name.startswith("RUNWRIGHT_") for name in pod)
    outside = environment(inherited, "/etc/a:/etc/b", home)
    assert outside["KUBECONFIG"] == "/etc/a:/etc/b"
    assert outside["HOME"] == "/home/user"


def entry(manager: str, fields: dict[str, object], operation: str = "Update", **more: str) -> dict[str, object]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def test_fields_of_people_become_helms_and_those_of_kubernetes_stay() -> None:
    ports: dict[str, object] = {'k:{"port":1}': {"f:name": {}}, 'k:{"port":2}': {".": {}}}
    status = entry("kube-controller-manager", {"f:status": {}}, subresource="status")
    scale = entry("somebody", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    managed = [
        entry("helm", {"f:spec": {"f:ports": {'k:{"port":1}': {"f:name": {}}}}}, "Apply"),
        entry("kubectl-edit", {"f:spec": {"f:ports": {'k:{"port":2}': {".": {}}}}}),
        status,
        scale,
    ]
    assert owned_by_helm(managed) == [
        status,
        scale,
        {
            **entry("helm", {"f:spec": {"f:ports": ports}}, "Apply"),
            "fieldsType": "FieldsV1",
        },
    ]


def test_nothing_is_taken_over_where_nobody_else_owns_anything() -> None:
    assert owned_by_helm([entry("helm", {"f:spec": {}}, "Apply")]) is None
    assert owned_by_helm([]) is None
