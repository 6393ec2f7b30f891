"""A TrackingStack on the real node: made from one manifest, used, damaged, upgraded, deleted, found again."""

from typing import Any

import pytest

from tests.cluster import deploy
from tests.e2e.runs import Runs, condition, manifest, run_id
from tests.e2e.stacks import Stacks
from tests.support.kubectl import Kubectl, wait_for
from tests.support.mlflow_view import MLflowView

pytestmark = pytest.mark.e2e

SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}}
LOGS = """
    import mlflow
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_text("kept", "note.txt")
"""


def stack(name: str, **spec: Any) -> dict[str, Any]:
    """Write a TrackingStack for a small node."""
    parts = {
        "postgresql": {"storage": "1Gi", "resources": SMALL},
        "objectStore": {"storage": "1Gi", "resources": SMALL},
    }
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrackingStack",
        "metadata": {"name": name},
        "spec": {**parts, **spec},
    }


@pytest.fixture(scope="module")
def lab(stacks: Stacks) -> dict[str, Any]:
    """A whole stack and, applied in the same breath, a run which waits for it; their statuses at the end."""
    runs = Runs(stacks.kubectl, stacks.namespace)
    runs.apply(manifest("waits", LOGS, tracking={"stackRef": {"name": "lab"}}))
    runs.until("waits", lambda s: condition(s, "Running").get("reason") in ("StackNotFound", "StackNotReady"))
    stacks.apply(stack("lab"))
    ready = stacks.ready("lab")
    return {"stack": ready, "run": runs.closed("waits", "Succeeded")}


def workload(stacks: Stacks, kind: str, name: str) -> dict[str, Any]:
    found = stacks.kubectl.get(kind, name, stacks.namespace)
    assert found is not None, f"no {kind} {name}"
    return found


def recorded(stacks: Stacks, name: str, run: str) -> dict[str, Any]:
    """A run as the stack's MLflow knows it, with the artifact's text."""
    with stacks.kubectl.port_forward(stacks.namespace, f"service/{name}-mlflow", 5000) as port:
        view = MLflowView(f"http://127.0.0.1:{port}")
        return {**view.run(run), "note": view.artifact(run, "note.txt")}


def test_one_manifest_becomes_a_stack_and_the_run_that_waited_for_it_starts(
    stacks: Stacks, lab: dict[str, Any]
) -> None:
    status = lab["stack"]
    assert {c["type"] for c in status["conditions"] if c["status"] == "True"} >= {
        "DatabaseReady",
        "ObjectStoreReady",
        "TrackingReady",
        "Ready",
    }
    releases = {r["name"]: (r["chart"], r["state"]) for r in status["releases"]}
    assert releases == {
        "lab-postgresql": ("postgresql", "deployed"),
        "lab-object-store": ("object-store", "deployed"),
        "lab-mlflow": ("mlflow", "deployed"),
    }
    assert all(r["version"] and r["appVersion"] for r in status["releases"])
    assert status["trackingUri"].startswith(f"http://lab-mlflow.{stacks.namespace}.svc")
    seen = recorded(stacks, "lab", run_id(lab["run"]))
    assert (seen["status"], seen["metrics"]["loss"], seen["note"]) == ("FINISHED", 0.5, "kept")


def test_what_is_deleted_or_edited_is_repaired(stacks: Stacks, lab: dict[str, Any]) -> None:
    kubectl, namespace = stacks.kubectl, stacks.namespace
    before = workload(stacks, "deployment", "lab-mlflow")["metadata"]["uid"]
    kubectl("-n", namespace, "delete", "deployment", "lab-mlflow")
    wait_for("the Deployment is back", lambda: kubectl.get("deployment", "lab-mlflow", namespace), 120)
    assert workload(stacks, "deployment", "lab-mlflow")["metadata"]["uid"] != before
    stacks.ready("lab")
    kubectl(
        "-n",
        namespace,
        "patch",
        "service",
        "lab-mlflow",
        "--type=json",
        "-p",
        '[{"op": "replace", "path": "/spec/ports/0/port", "value": 5999}]',
    )
    # Edits are looked for every five minutes, and at once by an operator that starts.
    kubectl("-n", deploy.OPERATOR_NAMESPACE, "rollout", "restart", "deployment/runwright")
    wait_for(
        "the edited port is repaired",
        lambda: [p["port"] for p in workload(stacks, "service", "lab-mlflow")["spec"]["ports"]] == [5000],
        180,
    )
    stacks.ready("lab")


def test_a_failing_upgrade_says_why_and_ends_when_the_value_is_set_back(stacks: Stacks, lab: dict[str, Any]) -> None:
    database = workload(stacks, "statefulset", "lab-postgresql")["metadata"]["uid"]
    wrong = {"storage": "1Gi", "resources": SMALL, "image": "runwright/postgresql:no-such-tag"}
    stacks.apply(stack("lab", postgresql=wrong, server={"image": "runwright/mlflow:no-such-tag"}))
    status = stacks.reason("lab", "ImagePullBackOff")
    assert "spec.postgresql.image" in condition(status, "DatabaseReady")["message"]
    stacks.apply(stack("lab"))
    stacks.ready("lab")
    assert workload(stacks, "statefulset", "lab-postgresql")["metadata"]["uid"] == database
    assert recorded(stacks, "lab", run_id(lab["run"]))["note"] == "kept"


def test_an_operator_killed_in_the_middle_of_an_upgrade_goes_on_with_it(stacks: Stacks, lab: dict[str, Any]) -> None:
    kubectl = stacks.kubectl
    revisions = {r["name"]: r["revision"] for r in stacks.ready("lab")["releases"]}
    stacks.apply(stack("lab", server={"resources": {"requests": {"cpu": "60m"}}}))
    changed = lambda: [  # noqa: E731
        c
        for c in kubectl.objects("configmaps", stacks.namespace, "owner=helm,name=lab-mlflow")
        if int(c["metadata"]["labels"]["version"]) > revisions["lab-mlflow"]
    ]
    wait_for("helm has begun", changed, 120)
    kubectl(
        "-n",
        deploy.OPERATOR_NAMESPACE,
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=runwright",
        "--grace-period=0",
        "--force",
    )
    status = stacks.ready("lab")
    assert {r["state"] for r in status["releases"]} == {"deployed"}
    pod = workload(stacks, "deployment", "lab-mlflow")["spec"]["template"]["spec"]["containers"][0]
    assert pod["resources"]["requests"]["cpu"] == "60m"
    assert recorded(stacks, "lab", run_id(lab["run"]))["note"] == "kept"


def test_retained_volumes_and_passwords_serve_a_stack_of_the_same_name_again(
    stacks: Stacks, lab: dict[str, Any]
) -> None:
    kubectl, namespace = stacks.kubectl, stacks.namespace
    kubectl("-n", namespace, "delete", "tstack", "lab", "--wait=true")
    kinds = "statefulsets,deployments,services,networkpolicies,pods,configmaps"

    def left() -> list[str]:
        names = [n for n in kubectl("-n", namespace, "get", kinds, "-o", "name").split() if "lab-" in n]
        return [n for n in names if "waits" not in n]

    wait_for("everything else is gone", lambda: not left(), 180)
    claims = kubectl("-n", namespace, "get", "pvc", "-o", "name").split()
    assert sorted(claims) == [f"persistentvolumeclaim/data-lab-{part}-0" for part in ("object-store", "postgresql")]
    stacks.apply(stack("lab", deletionPolicy="Delete"))
    stacks.ready("lab")
    assert recorded(stacks, "lab", run_id(lab["run"]))["note"] == "kept"
    kubectl("-n", namespace, "delete", "tstack", "lab", "--wait=true")
    rest = f"{kinds},pvc,secrets"
    wait_for(
        "nothing is left",
        lambda: not [n for n in kubectl("-n", namespace, "get", rest, "-o", "name").split() if "lab-" in n],
        240,
    )


def test_a_namespace_with_a_stack_goes_without_the_operator(kubectl: Kubectl, stacks: Stacks) -> None:
    stacks.apply(stack("doomed"))
    wait_for("its database", lambda: kubectl.get("statefulset", "doomed-postgresql", stacks.namespace), 180)
    with deploy.scaled_to_zero(kubectl, deploy.OPERATOR_NAMESPACE, "runwright"):
        kubectl("delete", "namespace", stacks.namespace, "--wait=true", "--timeout=240s")
