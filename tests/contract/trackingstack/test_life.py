"""A stack's life on a real API server with the real helm."""

from base64 import b64decode
from typing import Any

import pytest

from tests.contract.trackingstack.world import NAME, StackWorld
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

SMALL: dict[str, Any] = {
    "postgresql": {"storage": "1Gi", "storageClassName": "grows"},
    "objectStore": {"storage": "1Gi", "storageClassName": "fixed"},
}


def owners(obj: dict[str, Any]) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()]


def bring_up(world: StackWorld, old: frozenset[str] = frozenset(), **spec: Any) -> dict[str, Any]:
    """Apply a stack and run its pods, but none of the `old` ones; returns it."""
    stack = world.apply(**spec)
    for part in ("postgresql", "object-store", "mlflow"):
        world.start(f"{NAME}-{part}", old)
    world.until_says("TrackingReady", "False", "ServerUnreachable")
    return stack


def test_the_parts_come_in_their_order_and_belong_to_the_stack(world: StackWorld) -> None:
    uid = world.apply(server={"auth": "Basic", "gc": {}}, backup={"destination": {"bucket": "backups"}})["metadata"][
        "uid"
    ]
    world.until_says("TrackingReady", "False", "WaitingForDatabase")
    world.start("a-postgresql")
    world.until_says("DatabaseReady", "True", "PodsReady")
    assert world.names("deployments") == set()
    assert set(world.releases()) == {"a-postgresql", "a-object-store"}
    world.start("a-object-store")
    world.until_says("ObjectStoreReady", "True", "PodsReady")
    world.start("a-mlflow")
    told = world.until_says("TrackingReady", "False", "ServerUnreachable")
    assert "a-mlflow" in told["message"]
    assert world.releases() == {f"a-{part}": (1, "deployed") for part in ("postgresql", "object-store", "mlflow")}
    status = world.status
    assert status["uiUrl"] == f"http://a-mlflow.{world.namespace}.svc.cluster.local:5000"
    assert "trackingUri" not in status
    assert world.condition("BackupSucceeded")["reason"] == "NoBackupYet"
    for plural in ("statefulsets", "deployments", "cronjobs", "services"):
        assert all(owners(obj) == [uid] for obj in world.all(plural)), plural
    configured = [obj for obj in world.all("configmaps") if obj["metadata"]["name"] != "kube-root-ca.crt"]
    assert len(configured) >= 6
    assert all(owners(obj) == [uid] for obj in configured)
    assert world.names("secrets") == {
        "a-postgresql-credentials",
        "a-object-store-credentials",
        "a-mlflow-operator",
        "a-mlflow-client",
    }
    assert all(owners(obj) == [] for obj in world.all("secrets"))  # Retain
    writes = world.writes()
    assert writes["create secrets"] == 4
    assert writes["patch trackingstacks/status"] <= 8
    reasons = [event["reason"] for event in world.all("events") if event["involvedObject"]["kind"] == "TrackingStack"]
    assert sorted(reasons) == ["Released", "Released", "Released", "ServerUnreachable"]


def test_what_a_deleted_stack_leaves_is_found_again(world: StackWorld) -> None:
    bring_up(world, **SMALL)
    before = {s["metadata"]["name"]: s["data"] for s in world.all("secrets")}
    assert b64decode(before["a-postgresql-credentials"]["username"]) == b"mlflow"
    world.delete("trackingstacks", NAME)
    gone = ("statefulsets", "deployments", "services", "pods")
    world.until("everything but volumes and Secrets gone", lambda: not any(world.all(plural) for plural in gone))
    world.until("Helm's records gone", lambda: world.names("configmaps") == {"kube-root-ca.crt"})
    assert world.names("persistentvolumeclaims") == {"data-a-postgresql-0", "data-a-object-store-0"}
    bring_up(world, **SMALL)
    assert {s["metadata"]["name"]: s["data"] for s in world.all("secrets")} == before


def test_with_delete_everything_goes_and_at_once_comes_again(world: StackWorld) -> None:
    bring_up(world, **SMALL, deletionPolicy="Delete")
    before = {s["metadata"]["name"]: s["metadata"]["uid"] for s in world.all("secrets")}
    claims = {c["metadata"]["name"]: c["metadata"]["uid"] for c in world.all("persistentvolumeclaims")}
    assert len(before) == len(claims) == 2
    old = frozenset(pod["metadata"]["uid"] for pod in world.all("pods"))
    world.delete("trackingstacks", NAME)
    bring_up(world, old, **SMALL, deletionPolicy="Delete")
    after = {s["metadata"]["name"]: s["metadata"]["uid"] for s in world.all("secrets")}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    fresh = {c["metadata"]["uid"] for c in world.all("persistentvolumeclaims")}
    assert not fresh & set(claims.values())


def test_the_deletion_policy_may_change(world: StackWorld) -> None:
    uid = bring_up(world, **SMALL)["metadata"]["uid"]

    def policy(wanted: str) -> bool:
        found = [s["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] for s in world.all("statefulsets")]
        return found == [wanted, wanted]

    world.apply(**SMALL, deletionPolicy="Delete")
    world.until("the volumes go", lambda: policy("Delete"))
    assert all(owners(secret) == [uid] for secret in world.all("secrets"))
    world.apply(**SMALL, deletionPolicy="Retain")
    world.until("the volumes stay", lambda: policy("Retain"))
    assert all(owners(secret) == [] for secret in world.all("secrets"))


def test_a_namespace_with_a_stack_is_deleted(world: StackWorld) -> None:
    bring_up(world)
    world.control_plane.client.request("DELETE", f"/api/v1/namespaces/{world.namespace}")

    def gone() -> bool:
        found = world.control_plane.client.request("GET", "/api/v1/namespaces")["items"]
        return world.namespace not in {namespace["metadata"]["name"] for namespace in found}

    world.until("the namespace gone", gone)


def test_a_deleted_workload_comes_back(world: StackWorld) -> None:
    bring_up(world)
    world.delete("deployments", "a-mlflow")
    world.delete("services", "a-postgresql")
    world.until("the Deployment", lambda: world.get("deployments", "a-mlflow"))
    world.until("the Service", lambda: world.get("services", "a-postgresql"))
    world.start("a-mlflow")
    world.until("revision 2", lambda: world.releases()["a-mlflow"] == (2, "deployed"))
    reasons = [event["reason"] for event in world.all("events") if event["involvedObject"]["kind"] == "TrackingStack"]
    assert reasons.count("Repaired") == 2


def test_a_volume_grows_under_a_running_database(world: StackWorld) -> None:
    bring_up(world, **SMALL)
    world.provide("data-a-postgresql-0", "grows", "1Gi")
    pod = world.pod("a-postgresql")["metadata"]["uid"]
    world.apply(**{**SMALL, "postgresql": {"storage": "2Gi", "storageClassName": "grows"}})

    def size() -> str:
        found = world.get("statefulsets", "a-postgresql")
        requests = found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"] if found else {}
        return str(requests.get("storage"))

    world.until("a template of 2Gi", lambda: size() == "2Gi")
    claim = world.get("persistentvolumeclaims", "data-a-postgresql-0")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    world.until_says("DatabaseReady", "True", "PodsReady")
    assert world.pod("a-postgresql")["metadata"]["uid"] == pod


def test_a_volume_that_cannot_grow_is_told_with_the_remedy(world: StackWorld) -> None:
    bring_up(world, **SMALL)
    world.provide("data-a-object-store-0", "fixed", "1Gi")
    world.apply(**{**SMALL, "objectStore": {"storage": "2Gi", "storageClassName": "fixed"}})
    told = world.until_says("Stalled", "True", "VolumeCannotGrow")
    assert "allowVolumeExpansion in storage class fixed" in told["message"]
    assert world.condition("ObjectStoreReady")["status"] == "True"


def test_a_broken_image_is_told_and_set_back(world: StackWorld) -> None:
    bring_up(world, **SMALL)
    broken = {**SMALL, "postgresql": {**SMALL["postgresql"], "image": "example/postgres:broken"}}
    world.apply(**broken)

    def replaced() -> dict[str, Any] | None:
        pod = world.pod("a-postgresql")
        return pod if pod["spec"]["containers"][0]["image"] == "example/postgres:broken" else None

    world.wait_in(world.until("the broken pod", replaced), "ErrImagePull", "not found")
    told = world.until_says("DatabaseReady", "False", "ImagePullBackOff")
    assert "spec.postgresql.image" in told["message"]
    world.apply(**SMALL)
    world.until("another pod", lambda: replaced() is None)
    world.start("a-postgresql")
    world.until_says("DatabaseReady", "True", "PodsReady")


def test_what_helm_refuses_is_told_in_its_words_until_it_is_set_back(world: StackWorld) -> None:
    bring_up(world, deletionPolicy="Retain")
    world.apply(deletionPolicy="Retain", objectStore={"image": "Upper/Case:1"})
    told = world.until_says("Stalled", "True", "ReleaseFailed")
    assert told["message"].startswith("a-object-store: helm upgrade: ")
    assert "/image/repository" in told["message"]
    assert world.condition("ObjectStoreReady")["status"] == "True"
    world.apply(deletionPolicy="Retain")
    world.until("no complaint", lambda: world.condition("Stalled") == {})
    world.until_says("Ready", "False", "ServerUnreachable")


def test_without_rights_the_remedy_is_told(world: StackWorld, operator: OperatorProcess) -> None:
    elsewhere = StackWorld.new(world.control_plane)
    elsewhere.apply()
    told = elsewhere.until_says("Stalled", "True", "RightsMissing")
    assert f"add {elsewhere.namespace} to stackNamespaces" in told["message"]
    elsewhere.grant()
    elsewhere.patch("trackingstacks", NAME, {"metadata": {"annotations": {"look": "again"}}})
    elsewhere.until("the first release", elsewhere.releases)
    assert elsewhere.condition("Stalled") == {}


def test_an_operator_killed_while_helm_works_goes_on(world: StackWorld, operator: OperatorProcess) -> None:
    world.apply(**SMALL)
    records = f"/api/v1/namespaces/{world.namespace}/configmaps?labelSelector=owner%3Dhelm"
    client = world.control_plane.client
    world.until("a record of helm's", lambda: client.request("GET", records)["items"])
    operator.kill()
    operator.start().wait_ready()
    bring_up(world, **SMALL)
    assert {state for _, state in world.releases().values()} == {"deployed"}


def test_a_secret_that_the_spec_names_is_asked_for(world: StackWorld) -> None:
    database = {"host": "pg.example", "secretRef": {"name": "pg"}}
    world.apply(postgresql={"external": database}, objectStore={"external": {"bucket": "backups"}})
    told = world.until_says("TrackingReady", "False", "SecretNotFound")
    assert told["message"] == "spec.postgresql.external.secretRef.name: there is no Secret pg; create it"
    assert world.names("statefulsets") == set()
    assert world.names("secrets") == set()
