"""Deletion by the garbage collector, and what a new owner of the same name finds."""

import json

import pytest

from runwright.errors import ClusterUnavailableError
from runwright.helm.releases import HelmReleases
from runwright.ports import Release, WantedRelease
from tests.contract.helm.conftest import Connect
from tests.contract.helm.world import CHARTS, Killer, World
from tests.support.api_proxy import ApiProxy, Rule
from tests.support.until import DEADLINE_SECONDS, until

pytestmark = pytest.mark.contract

STATEFUL_SET = ("StatefulSet", "s-postgresql")
VOLUME = ("PersistentVolumeClaim", "data-s-postgresql-0")


async def test_with_the_owner_go_the_objects_and_every_record_and_volumes_stay(world: World, connect: Connect) -> None:
    releases = await connect()
    for _ in range(2):
        await releases.install(world.wanted())
    await until(lambda: VOLUME in world.uids(), "the volume claim")
    volume = world.uids()[VOLUME]
    assert len(world.records()) == 2
    world.delete("ConfigMap", "stack")
    await until(lambda: world.records() == [], "the records are gone")
    await until(lambda: list(world.uids()) == [VOLUME], "only the volume claim is left")
    assert world.uids()[VOLUME] == volume


async def test_a_new_owner_right_after_the_old_one_takes_over_nothing(world: World, connect: Connect) -> None:
    """Deleted and made again at once, as ``kubectl replace --force`` does: everything is new but the volume."""
    releases = await connect()
    await releases.install(world.wanted())
    await until(lambda: VOLUME in world.uids(), "the volume claim")
    before = world.uids()
    world.delete("ConfigMap", "stack")
    wanted = world.wanted()
    assert await releases.find(wanted) is None
    made = await installed(releases, wanted)
    assert (made.revision, made.state, made.current) == (1, "deployed", True)
    after = world.uids()
    assert {name for name, uid in after.items() if before.get(name) == uid} == {VOLUME}
    assert await releases.drift(wanted) == ()
    assert {record.revision for record in world.records()} == {1}


async def test_what_another_owner_still_has_is_waited_for(world: World, connect: Connect) -> None:
    releases = await connect()
    first = world.wanted()
    await releases.install(first)
    before = world.uids()
    second = world.wanted(owner=world.owner("another"))
    with pytest.raises(ClusterUnavailableError, match=r"still owns .*StatefulSet s-postgresql.*: waiting"):
        await releases.install(second)
    assert world.uids() == before
    assert world.records() == []

    world.delete("ConfigMap", "stack")
    made = await installed(releases, second)
    assert (made.revision, made.current) == (1, True)
    after = world.uids()
    assert {name for name, uid in after.items() if before.get(name) == uid} <= {VOLUME}


async def test_an_owner_deleted_without_its_dependents_leaves_them_to_the_next(world: World, connect: Connect) -> None:
    """``kubectl delete --cascade=orphan`` and apply again: nothing restarts."""
    releases = await connect()
    await releases.install(world.wanted())
    await until(lambda: VOLUME in world.uids(), "the volume claim")
    before = world.uids()
    world.delete("ConfigMap", "stack", "Orphan")

    def orphaned() -> bool:
        return world.get("ConfigMap", "stack") is None

    await until(orphaned, "the owner is gone")
    wanted = world.wanted()
    assert await releases.find(wanted) is None
    made = await releases.install(wanted)
    assert (made.revision, made.current) == (1, True)
    assert world.uids() == before
    assert all(owners(world, kind, name) == [wanted.owner["uid"]] for kind, name in before if kind != VOLUME[0])


async def test_a_record_that_helm_left_without_an_owner_is_known_by_its_label(
    world: World, connect: Connect, proxy: ApiProxy
) -> None:
    """The operator dies with its helm, and the stack is deleted before another comes."""
    rule = proxy.rule(Rule(before=Killer(3, carried_out=True)))
    with pytest.raises(ClusterUnavailableError, match="killed"):
        await (await connect(proxy)).install(world.wanted())
    rule.remove()
    record = world.records()[0]
    world.merge("ConfigMap", record.name, {"metadata": {"ownerReferences": None}})  # as if we had not got to it
    world.delete("ConfigMap", "stack")
    wanted = world.wanted()
    releases = await connect()
    assert await releases.find(wanted) is None
    made = await installed(releases, wanted)
    assert (made.revision, made.current) == (1, True)
    assert [one.uid for one in world.records()] != [record.uid]


@pytest.mark.parametrize("server_side", ["true", "false"])  # helm 4 and helm 3 as they are by default
async def test_a_release_made_by_hand_is_taken_over(world: World, connect: Connect, server_side: str) -> None:
    releases, wanted = await connect(), world.wanted()
    values = json.dumps({"fullnameOverride": "s-postgresql", "podAnnotations": {"example.com/by": "hand"}})
    where = ["s-postgresql", str(CHARTS / "postgresql"), f"--namespace={world.namespace}"]
    await releases._helm.run("install", *where, f"--server-side={server_side}", "--values=-", stdin=values)
    before = world.uids()

    found = await releases.find(wanted)
    assert found is not None
    assert not found.current
    made = await releases.install(wanted)
    assert (made.revision, made.current) == (2, True)
    assert world.uids() == before
    assert owners(world, *STATEFUL_SET) == [wanted.owner["uid"]]
    stateful_set = world.get(*STATEFUL_SET)
    assert stateful_set is not None
    assert "example.com/by" not in stateful_set["spec"]["template"]["metadata"]["annotations"]
    assert await releases.drift(wanted) == ()


def owners(world: World, kind: str, name: str) -> list[str]:
    """The uids of an object's owners."""
    obj = world.get(kind, name)
    assert obj is not None
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences", ())]


async def installed(releases: HelmReleases, wanted: WantedRelease) -> Release:
    """Install, trying again as the reconciler does while Kubernetes removes the old."""
    made: list[Release] = []

    async def attempt() -> None:
        try:
            made.append(await releases.install(wanted))
        except ClusterUnavailableError as error:
            assert "still owns" in str(error)  # noqa: PT017 - any other is a failure of the test

    for _ in range(int(DEADLINE_SECONDS)):
        await attempt()
        if made:
            return made[0]
    raise AssertionError("the old objects never went")
