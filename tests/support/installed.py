"""An API server with Runwright installed as the chart installs it: CRDs, ServiceAccount, rights; no operator yet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.charts import helm
from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.cluster.shell import eventually

ROOT = Path(__file__).parents[2]
NAMESPACE = "runwright-system"
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
    """Apply CRDs and the chart's rights in all namespaces; returns the kubeconfig of the operator's ServiceAccount."""
    install_crds(control_plane)
    return grant(control_plane)


def release(namespace: str) -> str:
    """Return the name of the release in a namespace, which is also that of its ServiceAccount and Roles."""
    return "runwright" if namespace == NAMESPACE else f"runwright-{namespace}"


def grant(
    control_plane: ControlPlane,
    namespace: str = NAMESPACE,
    watch: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Path:
    """Apply the chart's rights; returns the kubeconfig of the operator's ServiceAccount.

    Args:
        control_plane: Where to.
        namespace: Where the chart is installed: the operator's ServiceAccount and Lease are there.
        watch: The chart's ``watchNamespaces``.
        values: More of the chart's values.
    """
    kubeconfig = control_plane.kubeconfig_for_service_account(namespace, release(namespace))
    given = {"watchNamespaces": list(watch), "defaultStack": {"namespace": "", "name": ""}, **(values or {})}
    for manifest in rendered(namespace, "rbac.yaml", given):
        meta = manifest["metadata"]
        where = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        control_plane.client.apply(f"{RBAC}{where}/{manifest['kind'].lower()}s/{meta['name']}", manifest)
    return kubeconfig


def rendered(namespace: str, template: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Render one template of the chart as it is installed in a namespace."""
    chart = ["template", release(namespace), str(ROOT / "charts" / "runwright"), "--namespace", namespace]
    done = helm.run(*chart, "--show-only", f"templates/{template}", "--values", "-", stdin=yaml.safe_dump(values))
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
