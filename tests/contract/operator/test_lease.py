"""The Lease on a real API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runwright.errors import ConfigurationError
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.kube.lease import Lease, LeaseLostError, Timing
from runwright.ports import Key
from tests.contract.operator.conftest import Installed
from tests.support.installed import grant

pytestmark = pytest.mark.contract

PATH = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/operator"
QUICK = Timing(duration=6.0, renew=5.0, retry=0.2)


@pytest.fixture
async def client(installed: Installed, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setenv("KUBECONFIG", str(grant(installed.control_plane, namespace, [namespace])))
    client = Client(await Connection.open())
    yield client
    await client.close()


def holder(installed: Installed, namespace: str) -> str:
    return str(installed.admin.request("GET", PATH.format(namespace))["spec"]["holderIdentity"])


async def test_one_holds_the_other_waits_until_it_is_released(
    installed: Installed, client: Client, namespace: str
) -> None:
    one, two = (Lease(client, Key(namespace, "operator"), name, QUICK) for name in ("one", "two"))
    await one.acquire()
    renewing = asyncio.create_task(one.renew())
    waiting = asyncio.create_task(two.acquire())
    done, _ = await asyncio.wait([waiting], timeout=QUICK.duration * 1.2)
    assert not done
    assert (one.held(), two.held()) == (True, False)
    renewing.cancel()
    await one.release()
    assert not one.held()
    await asyncio.wait_for(waiting, 10)
    assert holder(installed, namespace) == "two"
    await two.release()
    assert holder(installed, namespace) == ""


async def test_a_lease_that_is_not_renewed_is_taken_and_its_holder_told(
    installed: Installed, client: Client, namespace: str
) -> None:
    now = 1000.0
    dead = Lease(client, Key(namespace, "operator"), "dead", QUICK, clock=lambda: now)
    await dead.acquire()
    taker = Lease(client, Key(namespace, "operator"), "taker", QUICK)
    await asyncio.wait_for(taker.acquire(), 30)
    assert dead.held()  # its clock stood still, as of a paused process
    with pytest.raises(LeaseLostError, match="now held by taker"):
        await dead.renew()
    assert not dead.held()
    await dead.release()
    assert holder(installed, namespace) == "taker"


async def test_a_holder_that_cannot_renew_in_time_gives_up(client: Client, namespace: str) -> None:
    now = 1000.0
    lease = Lease(client, Key(namespace, "operator"), "late", QUICK, clock=lambda: now)
    await lease.acquire()
    now += QUICK.renew
    assert not lease.held()
    with pytest.raises(LeaseLostError, match=r"could not be renewed for 5 s"):
        await lease.renew()


async def test_somebody_editing_the_lease_does_not_end_its_holder(
    installed: Installed, client: Client, namespace: str
) -> None:
    lease = Lease(client, Key(namespace, "operator"), "one", QUICK)
    await lease.acquire()
    labels = {"metadata": {"labels": {"edited": "yes"}}}
    installed.admin.request("PATCH", PATH.format(namespace), labels, content_type="application/merge-patch+json")
    renewing = asyncio.create_task(lease.renew())
    before = installed.admin.request("GET", PATH.format(namespace))["spec"]["renewTime"]
    while installed.admin.request("GET", PATH.format(namespace))["spec"]["renewTime"] == before:
        assert not renewing.done()
        await asyncio.sleep(0.05)
    renewing.cancel()
    await lease.release()
    assert holder(installed, namespace) == ""


async def test_a_namespace_that_does_not_exist_is_named(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(installed.control_plane.kubeconfig))  # only an administrator gets this far
    client = Client(await Connection.open())
    with pytest.raises(ConfigurationError, match=r"The namespace absent .* does not exist"):
        await Lease(client, Key("absent", "operator"), "one").acquire()
    await client.close()
