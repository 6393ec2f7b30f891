"""What was deleted or edited is named, and put right by the next action, whoever edited it."""

import json
import time
from typing import Any

import pytest

from runwright.errors import ClusterUnavailableError, RefusedError
from runwright.helm.releases import HelmReleases
from runwright.ports import WantedRelease
from tests.contract.helm.conftest import RULES, Connect
from tests.contract.helm.world import World
from tests.support.api_proxy import ApiProxy, Rule, refuse
from tests.support.until import DEADLINE_SECONDS, until

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


EDITS: dict[str, tuple[str, dict[str, Any]]] = {
    "an image": (
        "StatefulSet",
        {"spec": {"template": {"spec": {"containers": [{"name": "postgresql", "image": "example.com/other:1"}]}}}},
    ),
    "replicas": ("StatefulSet", {"spec": {"replicas": 0}}),
    "a label taken away": ("Service", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}}),
    "helm's own annotation": (
        "Service",
        {"metadata": {"annotations": {"meta.helm.sh/release-name": "other"}}},
    ),
    "where a port leads": ("Service", {"spec": {"ports": [{"port": 5432, "protocol": "TCP", "targetPort": 1}]}}),
    "data": ("ConfigMap", {"data": {"postgresql.conf": "max_connections = 1"}}),
    "who may come": ("NetworkPolicy", {"spec": {"ingress": [{}]}}),
    "the owner": ("Service", {"metadata": {"ownerReferences": None}}),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_what_somebody_else_edited_is_named_and_repaired(world: World, connect: Connect, edit: str) -> None:
    kind, change = EDITS[edit]
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


async def test_an_edit_that_no_merge_undoes_is_taken_over_and_repaired(world: World, connect: Connect) -> None:
    """The API merges lists of ports by number: a number changed by hand is one more port to helm."""
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    as_made = lasting(world.get("Service", "s-postgresql"))
    world.merge("Service", "s-postgresql", {"spec": {"ports": [{"name": "postgresql", "port": 6543}]}})
    assert await releases.drift(wanted) == ("Service s-postgresql",)
    assert (await releases.install(wanted)).current
    assert await releases.drift(wanted) == ()
    assert lasting(world.get("Service", "s-postgresql")) == as_made


async def test_what_cannot_be_looked_at_is_an_error_not_a_difference(
    world: World, connect: Connect, proxy: ApiProxy
) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    await releases.install(wanted)
    world.grant([rule for rule in RULES if rule["resources"] != ["statefulsets"]])

    await until_refused(releases, wanted, 'cannot get resource "statefulsets"')
    world.grant(RULES)
    await until_refused(releases, wanted, "")
    down = proxy.rule(
        Rule(path=".*/services/.*", before=refuse(503, "ServiceUnavailable", "apiserver is shutting down"))
    )
    with pytest.raises(ClusterUnavailableError, match="shutting down"):
        await releases.drift(wanted)
    assert down.hits


async def until_refused(releases: HelmReleases, wanted: WantedRelease, why: str) -> None:
    """Look until that is refused so, or not any more: a change of rights takes effect some milliseconds later."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    told = None
    while told is None or (why not in told if why else told):
        assert time.monotonic() < deadline, told
        try:
            await releases.drift(wanted)
            told = ""
        except RefusedError as error:
            told = str(error)


def lasting(obj: dict[str, Any] | None) -> dict[str, Any]:
    """An object without what tells its history."""
    assert obj is not None
    metadata = {
        key: value
        for key, value in obj["metadata"].items()
        if key not in {"managedFields", "resourceVersion", "generation"}
    }
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}
