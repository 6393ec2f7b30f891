"""The default stack that the operator keeps as the chart's ConfigMap says, with the chart's rights and no more."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runwright.errors import RefusedError
from runwright.kube.cache import Cache
from runwright.kube.client import Client
from runwright.kube.cluster import KubeCluster
from runwright.kube.connection import Connection
from runwright.operator.default_stack import DefaultStack, read
from runwright.ports import Key, Kind
from tests.contract.operator.conftest import TRACKING_OFF, Installed
from tests.support.installed import grant, rendered
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

STACKS = "/apis/runwright.dev/v1alpha1/namespaces/{}/trackingstacks"
MAPS = "/api/v1/namespaces/{}/configmaps"
EXTERNAL = {"server": {"external": {"trackingUri": "http://mlflow.example:5000"}}}


@dataclass
class Release:
    """The chart with a default stack, installed in a namespace of its own and watching only that."""

    installed: Installed
    namespace: str
    folder: Path

    def values(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "watchNamespaces": [self.namespace],
            "defaultStack": {"create": True, "name": "default", "spec": dict(spec)},
        }

    def apply(self, spec: Mapping[str, Any]) -> Path:
        """Write the ConfigMap as `helm upgrade` does; returns the file that the pod sees."""
        [config_map] = rendered(self.namespace, "default-stack.yaml", self.values(spec))
        name = config_map["metadata"]["name"]
        self.installed.admin.apply(f"{MAPS.format(self.namespace)}/{name}", config_map)
        file = self.folder / "trackingstack.yaml"
        file.write_text(config_map["data"]["trackingstack.yaml"])
        return file

    def stack(self, name: str = "default") -> dict[str, Any] | None:
        """The TrackingStack as an administrator sees it."""
        found = self.installed.admin.request("GET", STACKS.format(self.namespace))["items"]
        return next((one for one in found if one["metadata"]["name"] == name), None)

    def change(self, patch: Mapping[str, Any]) -> None:
        """Edit the TrackingStack by hand."""
        path = f"{STACKS.format(self.namespace)}/default"
        self.installed.admin.request("PATCH", path, dict(patch), "application/merge-patch+json")

    def config_map(self) -> dict[str, Any]:
        """The ConfigMap that owns it."""
        maps = self.installed.admin.request("GET", MAPS.format(self.namespace))["items"]
        found: dict[str, Any]
        [found] = [one for one in maps if one["metadata"]["name"].endswith("-default-stack")]
        return found


@pytest.fixture
def release(installed: Installed, tmp_path: Path) -> Release:
    name = f"stack-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    installed.admin.request("POST", "/api/v1/namespaces", body)
    return Release(installed, name, tmp_path)


@dataclass(frozen=True)
class Operator:
    """What one operator process holds, acting as the chart's ServiceAccount."""

    client: Client
    cluster: KubeCluster

    def __call__(self, file: Path) -> DefaultStack:
        """Start anew, as the next pod does."""
        return DefaultStack(self.client, self.cluster, read(file))


@pytest.fixture
async def operator(release: Release, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    values = release.values(EXTERNAL)
    kubeconfig = grant(release.installed.control_plane, release.namespace, values=values)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    client = Client(await Connection.open())
    yield Operator(client, KubeCluster(client, Cache()))
    await client.close()


async def test_it_is_applied_and_owned_by_the_config_map(release: Release, operator: Operator) -> None:
    await operator(release.apply(EXTERNAL)).once()
    stack = release.stack()
    assert stack is not None
    assert stack["spec"]["server"]["external"]["trackingUri"] == "http://mlflow.example:5000"
    owner = release.config_map()["metadata"]
    assert stack["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
    ]


async def test_what_was_edited_or_deleted_is_put_right_and_nothing_else_is_written(
    release: Release, operator: Operator
) -> None:
    keeper = operator(release.apply({**EXTERNAL, "deletionPolicy": "Delete"}))
    key = Key(release.namespace, "default")
    await keeper.once()
    first = release.stack()
    await keeper.once()
    assert release.stack() == first
    release.change({"metadata": {"labels": {"theirs": "kept"}}, "spec": {"deletionPolicy": "Retain"}})
    await operator.cluster.get(Kind.TRACKING_STACK, key)  # what the watch tells
    await keeper.once()
    repaired = release.stack() or {}
    assert repaired["spec"]["deletionPolicy"] == "Delete"
    assert repaired["metadata"]["labels"]["theirs"] == "kept"
    release.installed.admin.request("DELETE", f"{STACKS.format(release.namespace)}/default")
    await operator.cluster.get(Kind.TRACKING_STACK, key)
    await keeper.once()
    assert release.stack() is not None


async def test_what_an_upgrade_takes_out_of_the_spec_goes(release: Release, operator: Operator) -> None:
    await operator(release.apply({**EXTERNAL, "deletionPolicy": "Delete"})).once()
    await operator(release.apply(EXTERNAL)).once()  # the next pod
    assert "deletionPolicy" not in (release.stack() or {})["spec"]


async def test_nothing_is_made_for_a_release_that_is_gone(release: Release, operator: Operator) -> None:
    file = release.apply(EXTERNAL)
    name = release.config_map()["metadata"]["name"]
    release.installed.admin.request("DELETE", f"{MAPS.format(release.namespace)}/{name}")
    await operator(file).once()
    assert release.stack() is None


async def test_somebody_elses_stack_of_that_name_is_left_alone_and_the_remedy_told(
    release: Release, operator: Operator
) -> None:
    theirs = {"server": {"external": {"trackingUri": "http://theirs.example"}}}
    body = {"apiVersion": "runwright.dev/v1alpha1", "kind": "TrackingStack", "metadata": {"name": "default"}}
    keeper = operator(release.apply(EXTERNAL))
    release.installed.admin.request("POST", STACKS.format(release.namespace), {**body, "spec": theirs})
    with pytest.raises(RefusedError, match=r"is there already: set defaultStack\.create=false .* defaultStack\.name"):
        await keeper.once()
    assert (release.stack() or {})["spec"]["server"] == theirs["server"]


@pytest.mark.parametrize(("verb", "resource"), [("create", "trackingstacks"), ("get", "configmaps")])
async def test_each_right_on_it_is_needed(release: Release, operator: Operator, verb: str, resource: str) -> None:
    """Without `patch` the request is refused like without `create`: an apply needs both."""
    file = release.apply(EXTERNAL)
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{release.namespace}"
    everything = release.installed.admin.request("GET", f"{path}/roles")["items"]
    for role in everything:
        for rule in role["rules"]:
            if resource in rule["resources"]:
                rule["verbs"] = [one for one in rule["verbs"] if one != verb] or ["deletecollection"]
        release.installed.admin.request("PUT", f"{path}/roles/{role['metadata']['name']}", role)
    release.installed.admin.request("DELETE", f"{path}/rolebindings/runwright-{release.namespace}-stacks")
    with pytest.raises(RefusedError, match="forbidden"):
        await operator(file).once()


async def test_no_other_stack_may_be_made_or_changed(release: Release, operator: Operator) -> None:
    release.apply(EXTERNAL)
    text = (release.folder / "trackingstack.yaml").read_text()
    (release.folder / "other.yaml").write_text(text.replace("name: default\n", "name: other\n"))
    with pytest.raises(RefusedError, match="forbidden"):
        await operator(release.folder / "other.yaml").once()


def test_the_process_applies_it_and_tells_a_refusal_on_the_config_map(release: Release, tmp_path: Path) -> None:
    file = release.apply(EXTERNAL)
    kubeconfig = grant(release.installed.control_plane, release.namespace, values=release.values(EXTERNAL))
    environ = {
        **TRACKING_OFF,
        "RUNWRIGHT_WATCH_NAMESPACES": release.namespace,
        "RUNWRIGHT_LEASE_NAMESPACE": release.namespace,
        "RUNWRIGHT_STACK_NAMESPACES": release.namespace,
        "RUNWRIGHT_DEFAULT_STACK": f"{release.namespace}/default",
        "RUNWRIGHT_DEFAULT_STACK_FILE": str(file),
    }
    with OperatorProcess(kubeconfig, tmp_path, environ) as process:
        process.wait_for(release.stack, "the default stack")
        assert process.stop() == 0
    # What the chart's schema cannot see: a rule of the CRD.
    file.write_text(file.read_text() + "  deletionPolicy: Delete\n  backup: {destination: {bucket: b-1}}\n")
    with OperatorProcess(kubeconfig, tmp_path, environ) as process:

        def told() -> list[dict[str, Any]]:
            events = release.installed.admin.request("GET", f"/api/v1/namespaces/{release.namespace}/events")["items"]
            return [one for one in events if one["reason"] == "DefaultStackRefused"]

        process.wait_for(told, "the Event")
        [event] = told()
        assert event["involvedObject"]["kind"] == Kind.CONFIG_MAP.kind
        assert "an external server brings its own database, store and backup" in event["message"]
        assert process.stop() == 0
    assert "backup" not in (release.stack() or {})["spec"]


def test_without_a_readable_manifest_the_operator_says_so_and_ends(release: Release, tmp_path: Path) -> None:
    kubeconfig = grant(release.installed.control_plane, release.namespace, values=release.values(EXTERNAL))
    environ = {"RUNWRIGHT_DEFAULT_STACK_FILE": "/nonexistent/stack.yaml"}
    operator = OperatorProcess(kubeconfig, tmp_path, environ).start()
    assert operator.wait_exit() == 1
    assert "RUNWRIGHT_DEFAULT_STACK_FILE=/nonexistent/stack.yaml: " in operator.logged()[-1]["message"]
