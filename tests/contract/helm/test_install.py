"""Installing and upgrading the project's charts with the real helm."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from runwright.errors import ClusterUnavailableError, RefusedError
from tests.contract.helm.conftest import RULES, Connect
from tests.contract.helm.world import CHARTS, World
from tests.support.api_proxy import ApiProxy, Rule, refuse

pytestmark = pytest.mark.contract

TOO_LITTLE = {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}
"""Values that the chart takes and the API server does not."""


@pytest.mark.parametrize("chart", ["postgresql", "object-store", "mlflow"])
async def test_a_release_is_installed_and_current(world: World, connect: Connect, chart: str) -> None:
    releases, wanted = await connect(), world.wanted(chart)
    assert await releases.find(wanted) is None
    assert await releases.drift(wanted) == ()

    made = await releases.install(wanted)
    assert (made.chart, made.revision, made.state, made.current) == (chart, 1, "deployed", True)
    assert made.description == "Install complete"
    assert made.version
    assert made.app_version
    assert await releases.find(wanted) == made
    assert await releases.drift(wanted) == ()
    assert world.uids()


async def test_the_same_again_changes_nothing_but_the_revision(world: World, connect: Connect) -> None:
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    before = world.versions()
    again = await releases.install(wanted)
    assert (again.revision, again.state, again.current) == (2, "deployed", True)
    assert world.versions() == before


async def test_an_upgrade_changes_what_differs_and_takes_away_what_is_not_wanted(
    world: World, connect: Connect
) -> None:
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    before = world.uids()

    changed = world.wanted(values={"maxConnections": 77, "networkPolicy": {"enabled": False}})
    found = await releases.find(changed)
    assert found is not None
    assert not found.current
    upgraded = await releases.install(changed)
    assert (upgraded.revision, upgraded.state, upgraded.current) == (2, "deployed", True)
    configuration = world.get("ConfigMap", "s-postgresql")
    assert configuration is not None
    assert "max_connections = 77" in configuration["data"]["postgresql.conf"]
    gone = before.items() - world.uids().items()
    assert {name for name, _ in gone} == {("NetworkPolicy", "s-postgresql")}


async def test_values_of_a_revision_before_do_not_linger(world: World, connect: Connect) -> None:
    releases = await connect()
    await releases.install(world.wanted(values={"maxConnections": 77}))
    await releases.install(world.wanted())
    configuration = world.get("ConfigMap", "s-postgresql")
    assert configuration is not None
    assert "max_connections = 100" in configuration["data"]["postgresql.conf"]


async def test_another_chart_of_the_same_values_is_not_current(world: World, connect: Connect, tmp_path: Path) -> None:
    shutil.copytree(CHARTS, tmp_path / "charts")
    releases, wanted = await connect(charts=tmp_path / "charts"), world.wanted()
    assert (await releases.install(wanted)).current
    template = tmp_path / "charts" / "postgresql" / "templates" / "configmap.yaml"
    template.write_text(template.read_text() + "\n")
    found = await releases.find(wanted)
    assert found is not None
    assert not found.current
    assert (await releases.install(wanted)).current


async def test_what_the_api_server_refuses_is_told_and_repaired_by_better_values(
    world: World, connect: Connect
) -> None:
    releases, wrong = await connect(), world.wanted(values=TOO_LITTLE)
    with pytest.raises(RefusedError, match="must be less than or equal to memory limit") as told:
        await releases.install(wrong)
    assert "\n" not in str(told.value)
    assert "level=" not in str(told.value)
    found = await releases.find(wrong)
    assert found is not None
    assert (found.revision, found.state, found.current) == (1, "failed", False)
    assert "must be less than or equal to memory limit" in found.description

    made = await releases.install(world.wanted())
    assert (made.revision, made.state, made.current) == (2, "deployed", True)


async def test_a_refused_upgrade_leaves_what_runs(world: World, connect: Connect) -> None:
    releases = await connect()
    await releases.install(world.wanted())
    before = world.uids()
    with pytest.raises(RefusedError, match="memory limit"):
        await releases.install(world.wanted(values=TOO_LITTLE))
    assert world.uids() == before
    made = await releases.install(world.wanted())
    assert (made.revision, made.state) == (3, "deployed")
    assert await releases.drift(world.wanted()) == ()


async def test_what_the_chart_refuses_never_reaches_the_cluster(world: World, connect: Connect) -> None:
    releases = await connect()
    with pytest.raises(RefusedError, match=r"maxConnections.*got string, want integer") as told:
        await releases.install(world.wanted(values={"maxConnections": "many"}))
    assert "\n" not in str(told.value)
    assert world.records() == []
    assert world.uids() == {}


async def test_a_chart_that_is_not_there_names_the_setting(world: World, connect: Connect, tmp_path: Path) -> None:
    releases = await connect(charts=tmp_path)
    for call in (releases.find, releases.install):
        with pytest.raises(RefusedError, match="RUNWRIGHT_CHARTS"):
            await call(world.wanted())


async def test_five_revisions_are_kept_and_each_has_its_owner(world: World, connect: Connect) -> None:
    releases, owner = await connect(), world.owner()
    for number in range(1, 8):
        made = await releases.install(world.wanted(values={"maxConnections": 100 + number}))
        assert made.revision == number
        references = [record.config_map["metadata"]["ownerReferences"] for record in world.records()]
        assert references == [[owner]] * len(references)
    assert [record.revision for record in world.records()] == [3, 4, 5, 6, 7]
    assert [record.state for record in world.records()] == ["superseded"] * 4 + ["deployed"]


async def test_a_record_without_its_owner_is_not_as_wanted(world: World, connect: Connect) -> None:
    releases, wanted = await connect(), world.wanted()
    await releases.install(wanted)
    world.merge("ConfigMap", world.records()[0].name, {"metadata": {"ownerReferences": None}})
    found = await releases.find(wanted)
    assert found is not None
    assert not found.current
    assert (await releases.install(wanted)).current
    assert all(record.is_owned(wanted.owner) for record in world.records())


async def test_one_action_at_a_time_per_release_and_several_releases_side_by_side(
    world: World, connect: Connect
) -> None:
    releases = await connect()
    database, store = world.wanted("postgresql"), world.wanted("object-store")
    made = await asyncio.gather(releases.install(database), releases.install(database), releases.install(store))
    assert sorted((one.chart, one.revision, one.state) for one in made) == [
        ("object-store", 1, "deployed"),
        ("postgresql", 1, "deployed"),
        ("postgresql", 2, "deployed"),
    ]


async def test_a_namespace_that_is_being_deleted_is_left_alone(world: World, connect: Connect) -> None:
    releases, wanted = await connect(), world.wanted()
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    world.admin.request("POST", world.path("ConfigMap"), held)
    world.admin.request("DELETE", f"/api/v1/namespaces/{world.namespace}")
    # The rights go first; who may everything still may not create.
    with pytest.raises(RefusedError, match=r"because it is being terminated|is forbidden"):
        await releases.install(wanted)
    world.merge("ConfigMap", "held", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("resource", "verb"), [("configmaps", "create"), ("statefulsets", "patch"), ("services", "get")]
)
async def test_a_missing_right_is_named(world: World, connect: Connect, resource: str, verb: str) -> None:
    world.grant([
        {**rule, "verbs": [one for one in rule["verbs"] if (rule["resources"], one) != ([resource], verb)]}
        for rule in RULES
    ])  # fmt: skip
    releases, wanted = await connect(), world.wanted()
    with pytest.raises(RefusedError, match=rf'cannot {verb} resource "{resource}"'):
        await releases.install(wanted)
    world.grant(RULES)
    made = await releases.install(wanted)
    assert made.state == "deployed"


async def test_without_the_right_to_read_records_nothing_is_guessed(world: World, connect: Connect) -> None:
    world.grant([])
    releases, wanted = await connect(), world.wanted()
    for call in (releases.find, releases.install, releases.drift):
        with pytest.raises(RefusedError, match='cannot list resource "configmaps"'):
            await call(wanted)


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (429, "TooManyRequests", "storage is (re)initializing"),
        (500, "InternalError", "Internal error occurred: etcdserver: request timed out"),
        (503, "ServiceUnavailable", "apiserver is shutting down"),
        (504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded"),
    ],
)
async def test_an_api_server_that_is_busy_or_broken_is_worth_another_try(
    world: World, connect: Connect, proxy: ApiProxy, status: int, reason: str, message: str
) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    broken = proxy.rule(Rule(method="PATCH", path=".*/statefulsets/.*", before=refuse(status, reason, message)))
    with pytest.raises(ClusterUnavailableError, match=re.escape(message)):
        await releases.install(wanted)
    assert broken.hits
    broken.remove()
    assert (await releases.install(wanted)).state == "deployed"


async def test_without_the_lease_nothing_is_written(world: World, connect: Connect, proxy: ApiProxy) -> None:
    releases, wanted = await connect(proxy, may_write=lambda: False), world.wanted()
    with pytest.raises(ClusterUnavailableError, match="Lease"):
        await releases.install(wanted)
    assert proxy.writes() == []
