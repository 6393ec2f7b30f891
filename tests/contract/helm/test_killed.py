"""helm killed with SIGKILL at every write of an install and of an upgrade: the next action heals, nothing is lost."""

import asyncio
import threading

import pytest
from aiohttp import web

from runwright.errors import ClusterUnavailableError
from tests.contract.helm.conftest import Connect
from tests.contract.helm.world import Killer, World
from tests.support.api_proxy import ApiProxy, Rule
from tests.support.until import DEADLINE_SECONDS, until

pytestmark = pytest.mark.contract

# Of postgresql: the record (1), its objects (2 to 6), the record as deployed (7).
INSTALL = [(1, False), *((at, True) for at in range(1, 8))]
# The new record (1), the objects that stay (2 to 5), the NetworkPolicy deleted (6), the old record superseded (7), the
# new one deployed (8).
UPGRADE = [(1, False), *((at, True) for at in range(1, 9)), (8, False)]
CHANGED = {"maxConnections": 77, "networkPolicy": {"enabled": False}}
VOLUME = ("PersistentVolumeClaim", "data-s-postgresql-0")


@pytest.mark.parametrize(("at", "carried_out"), INSTALL)
async def test_an_install_goes_on_from_where_helm_was_killed(
    world: World, connect: Connect, proxy: ApiProxy, at: int, carried_out: bool
) -> None:
    wanted = world.wanted()
    killer = Killer(at, carried_out=carried_out)
    rule = proxy.rule(Rule(before=killer))
    with pytest.raises(ClusterUnavailableError, match="killed by signal 9"):
        await (await connect(proxy)).install(wanted)
    assert killer.killed == 1
    rule.remove()
    before = world.uids()

    releases = await connect()
    made = await releases.install(wanted)
    assert (made.state, made.current) == ("deployed", True)
    assert await releases.drift(wanted) == ()
    await until(lambda: VOLUME in world.uids(), "the volume claim")
    assert before.items() <= world.uids().items()
    assert all(record.is_owned(wanted.owner) for record in world.records())


@pytest.mark.parametrize(("at", "carried_out"), UPGRADE)
async def test_an_upgrade_goes_on_from_where_helm_was_killed(
    world: World, connect: Connect, proxy: ApiProxy, at: int, carried_out: bool
) -> None:
    await (await connect()).install(world.wanted())
    await until(lambda: VOLUME in world.uids(), "the volume claim")
    before = world.uids()
    changed = world.wanted(values=CHANGED)
    killer = Killer(at, carried_out=carried_out)
    rule = proxy.rule(Rule(before=killer))
    with pytest.raises(ClusterUnavailableError, match="killed by signal 9"):
        await (await connect(proxy)).install(changed)
    assert killer.killed == 1
    rule.remove()

    releases = await connect()
    made = await releases.install(changed)
    assert (made.state, made.current) == ("deployed", True)
    assert await releases.drift(changed) == ()
    assert dict(before.items() - world.uids().items()).keys() == {("NetworkPolicy", "s-postgresql")}
    assert [record.state for record in world.records()].count("deployed") == 1
    assert all(record.is_owned(changed.owner) for record in world.records())


async def test_a_write_that_is_carried_out_late_does_no_harm(world: World, connect: Connect, proxy: ApiProxy) -> None:
    """The API server may commit the killed helm's last word (deployed) when the next helm is at work already."""
    wanted, killer, late = world.wanted(), Killer(7, carried_out=True), threading.Event()

    async def kill_and_hold(request: web.Request) -> web.StreamResponse | None:
        await killer(request)
        if killer.killed and request.method == "PUT" and not late.is_set():
            await asyncio.to_thread(late.wait, DEADLINE_SECONDS)
        return None

    async def let_go(_: web.Request) -> None:
        assert [record.state for record in world.records()] == ["failed"]
        late.set()
        await until(lambda: world.records()[0].state == "deployed", "the late write")

    proxy.rule(Rule(before=kill_and_hold))
    with pytest.raises(ClusterUnavailableError, match="killed by signal 9"):
        await (await connect(proxy)).install(wanted)
    assert killer.killed == 1
    between = proxy.rule(Rule(method="POST", path=".*/configmaps", before=let_go))
    made = await (await connect(proxy)).install(wanted)
    assert between.hits == 1
    assert (made.revision, made.state, made.current) == (2, "deployed", True)
    assert [record.state for record in world.records()] == ["superseded", "deployed"]
