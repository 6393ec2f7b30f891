"""What was deleted or edited is named, and put right by the next action, whoever edited it."""

import json
from typing import Any

import pytest

from runwright.errors import ClusterUnavailableError, RefusedError
from tests.contract.helm.conftest import RULES, Connect
from tests.contract.helm.world import World
from tests.support.api_proxy import ApiProxy, Rule, refuse
from tests.support.until import until

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(("chart", "kind"), [("mlflow", "Deployment"), ("mlflow", "ConfigMap"), ("mlflow", "Service")])
async def test_what_was_deleted_is_named_and_made_again(world: World, connect: Connect, chart: str, kind: str) -> None:
    releases, wanted = await connect(), world.wanted(chart)
    await releases.install(wanted)
    name = next(name for found, name in world.uids() if found == kind)
    world.delete(kind, name)
    await until(lambda: world.get(kind, name) is None, "the deletion")

    assert await releases.drift(wanted) == (f"{kind} {name}",)
    await releases.install(wanted)
    assert world.get(kind, name) is not None
    assert await releases.drift(wanted) == ()


EDITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an image": (
        "StatefulSet",
        {"spec": {"template": {"spec": {"containers": [{"name": "postgresql", "image": "example.com/other:1"}]}}}},
        "postgresql",
    ),
    "replicas": ("StatefulSet", {"spec": {"replicas": 0}}, "replicas"),
    "a label taken away": ("Service", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}}, "part-of"),
    "helm's own annotation": (
        "Service",
        {"metadata": {"annotations": {"meta.helm.sh/release-name": "other"}}},
        "release-name",
    ),
    "a port": ("Service", {"spec": {"ports": [{"name": "postgresql", "port": 6543}]}}, "ports"),
    "data": ("ConfigMap", {"data": {"postgresql.conf": "max_connections = 1"}}, "data"),
    "who may come": ("NetworkPolicy", {"spec": {"ingress": [{}]}}, "ingress"),
    "the owner": ("Service", {"metadata": {"ownerReferences": None}}, "owner"),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_what_somebody_else_edited_is_named_and_repaired(world: World, connect: Connect, edit: str) -> None:
    kind, change, _ = EDITS[edit]
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    before = world.uids()
    as_made = lasting(world.get(kind, "s-postgresql"))
    world.merge(kind, "s-postgresql", change)
    assert lasting(world.get(kind, "s-postgresql")) != as_made

    assert await releases.drift(wanted) == (f"{kind} s-postgresql",)
    found = await releases.find(wanted)
    assert found is not None
    assert found.current, "the record knows nothing of it"
    await releases.install(wanted)
    assert await releases.drift(wanted) == ()
    assert world.uids() == before
    if edit != "an image":  # the edit dropped other fields of the container, whose defaults came instead
        assert lasting(world.get(kind, "s-postgresql")) == as_made


async def test_what_others_add_beside_is_theirs(world: World, connect: Connect) -> None:
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    added = {"metadata": {"annotations": {"example.com/note": "mine"}, "labels": {"example.com/team": "a"}}}
    world.merge("StatefulSet", "s-postgresql", added)
    assert await releases.drift(wanted) == ()
    await releases.install(wanted)
    kept = world.get("StatefulSet", "s-postgresql")
    assert kept is not None
    assert kept["metadata"]["annotations"]["example.com/note"] == "mine"


async def test_looking_changes_nothing(world: World, connect: Connect, proxy: ApiProxy) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    await releases.install(wanted)
    world.merge("StatefulSet", "s-postgresql", {"spec": {"replicas": 0}})
    before, sent = world.versions(), len(proxy.writes())
    assert await releases.drift(wanted)
    assert world.versions() == before
    assert {seen.query.get("dryRun") for seen in proxy.writes()[sent:]} == {"All"}


async def test_several_are_named_in_the_order_of_the_manifest(world: World, connect: Connect) -> None:
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    world.delete("StatefulSet", "s-postgresql", "Orphan")
    world.delete("Service", "s-postgresql")
    world.merge("NetworkPolicy", "s-postgresql", {"spec": {"ingress": [{}]}})
    await until(lambda: world.get("StatefulSet", "s-postgresql") is None, "the deletion")
    named = ["NetworkPolicy s-postgresql", "Service s-postgresql", "StatefulSet s-postgresql"]
    assert list(await releases.drift(wanted)) == named
    await releases.install(wanted)
    assert await releases.drift(wanted) == ()


async def test_a_difference_that_cannot_be_put_right_is_one(world: World, connect: Connect) -> None:
    """A StatefulSet's volume claims are immutable: another one of the same name is told, and helm's refusal too."""
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    obj = world.get("StatefulSet", "s-postgresql")
    assert obj is not None
    world.delete("StatefulSet", "s-postgresql", "Orphan")
    await until(lambda: world.get("StatefulSet", "s-postgresql") is None, "the deletion")
    obj["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "1Gi"
    metadata = {key: obj["metadata"][key] for key in ("name", "labels", "annotations")}
    world.admin.request("POST", world.path("StatefulSet"), json.loads(json.dumps({**obj, "metadata": metadata})))

    assert await releases.drift(wanted) == ("StatefulSet s-postgresql",)
    with pytest.raises(RefusedError, match="Forbidden: updates to statefulset spec"):
        await releases.install(wanted)


async def test_what_cannot_be_looked_at_is_an_error_not_a_difference(
    world: World, connect: Connect, proxy: ApiProxy
) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    await releases.install(wanted)
    world.grant([rule for rule in RULES if rule["resources"] != ["statefulsets"]])

    async def refused() -> bool:
        try:
            await releases.drift(wanted)
        except RefusedError as error:
            return 'cannot get resource "statefulsets"' in str(error)
        return False

    while not await refused():  # a right goes some milliseconds after the Role
        pass
    world.grant(RULES)
    down = proxy.rule(
        Rule(path=".*/services/.*", before=refuse(503, "ServiceUnavailable", "apiserver is shutting down"))
    )
    with pytest.raises(ClusterUnavailableError, match="shutting down"):
        while True:
            await releases.drift(wanted)
    assert down.hits


def lasting(obj: dict[str, Any] | None) -> dict[str, Any]:
    """An object without what tells its history."""
    assert obj is not None
    metadata = {
        key: value
        for key, value in obj["metadata"].items()
        if key not in {"managedFields", "resourceVersion", "generation"}
    }
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}
