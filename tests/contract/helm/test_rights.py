"""Each right that Helm uses is needed: with it taken away, the life of a stack's releases stops and names it."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from runwright.errors import RefusedError
from runwright.helm.releases import HISTORY
from runwright.kube.cache import Cache
from runwright.kube.client import Client
from runwright.kube.cluster import KubeCluster
from runwright.kube.connection import Connection
from runwright.operator.rights import STACKS, Right
from runwright.ports import Json, Key, Kind
from tests.contract.helm.conftest import Connect
from tests.contract.helm.world import World

pytestmark = pytest.mark.contract

OTHERS: Final = {"secrets", "persistentvolumeclaims", "pods", "jobs", "events"}
"""The reconciler uses these itself: tests/contract/trackingstack/test_rights.py."""
RECONCILERS: Final = {("delete", "statefulsets")}
"""A StatefulSet is deleted, and its pod left, when its volume has grown."""
USED: Final = [
    (verb, right)
    for right in STACKS
    if right.resource not in OTHERS
    for verb in right.verbs
    if (verb, right.resource) not in RECONCILERS
]
EVERYTHING: Final = {
    "ingress": {"enabled": True, "host": "mlflow.example.com"},
    "gc": {"enabled": True},
}
LESS: Final = {"networkPolicy": {"enabled": False}}


def rules(without: tuple[str, Right] | None = None) -> list[dict[str, Any]]:
    """The rights on stacks, perhaps all but one verb."""
    found = [(right, [verb for verb in right.verbs if (verb, right) != without]) for right in STACKS]
    return [{"apiGroups": [right.group], "resources": [right.resource], "verbs": verbs} for right, verbs in found]


async def life(world: World, connect: Connect) -> Sequence[Json]:
    """Install, repair what was edited and deleted, take parts away, upgrade until the oldest record goes."""
    releases = await connect()
    database, server = world.wanted(), world.wanted("mlflow", EVERYTHING)
    for wanted in (database, server):
        await releases.install(wanted)
    world.merge("Deployment", "s-mlflow", {"spec": {"replicas": 0}})
    world.merge("StatefulSet", "s-postgresql", {"spec": {"replicas": 0}})
    drifted = [*await releases.drift(database), *await releases.drift(server)]
    assert drifted == ["StatefulSet s-postgresql", "Deployment s-mlflow"]
    await releases.install(database)
    await releases.install(world.wanted("mlflow", LESS))
    for _ in range(HISTORY - 1):
        await releases.install(database)
    return [record.config_map for record in world.records()]


async def test_a_pod_of_the_same_name_that_is_another_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one use of `get pods`: a delete that met another uid asks whether the pod is gone."""
    container = {"name": "one", "image": "registry.example/one:1"}
    spec = {"containers": [container], "serviceAccountName": "operator"}  # "default" may not be there yet
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    world.admin.request("POST", f"/api/v1/namespaces/{world.namespace}/pods", pod)
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    client = Client(await Connection.open())
    cluster, key = KubeCluster(client, Cache()), Key(world.namespace, "one")
    world.grant(rules())
    await cluster.delete(Kind.POD, key, uid="another")
    [pods] = [right for right in STACKS if right.resource == "pods"]
    world.grant(rules(without=("get", pods)))
    with pytest.raises(RefusedError, match='cannot get resource "pods"'):
        await cluster.delete(Kind.POD, key, uid="another")
    await client.close()


async def test_with_all_of_them_releases_live(world: World, connect: Connect) -> None:
    world.grant(rules())
    records = await life(world, connect)
    assert len(records) == HISTORY


@pytest.mark.parametrize(("verb", "right"), USED, ids=[f"{verb}-{right.resource}" for verb, right in USED])
async def test_without_one_of_them_they_do_not(world: World, connect: Connect, verb: str, right: Right) -> None:
    world.grant(rules(without=(verb, right)))
    with pytest.raises(RefusedError) as caught:
        await life(world, connect)
    assert f'cannot {verb} resource "{right.resource}" in API group "{right.group}"' in str(caught.value)
