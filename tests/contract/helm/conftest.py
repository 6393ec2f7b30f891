"""An API server with the controllers that matter (garbage collector, StatefulSets), real charts and the real helm."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runwright.helm.releases import HelmReleases
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.operator.rights import STACKS
from tests.cluster.controlplane import ControlPlane, Settings
from tests.contract.helm.world import CHARTS, World, releases
from tests.support.api_proxy import ApiProxy

Connect = Callable[..., Awaitable[HelmReleases]]

RULES = [{"apiGroups": [one.group], "resources": [one.resource], "verbs": list(one.verbs)} for one in STACKS]
"""What the chart grants the operator where stacks are made; nothing on Secrets is used here."""


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane(settings=Settings(controller_manager=True)) as control_plane:
        yield control_plane


@pytest.fixture
def world(control_plane: ControlPlane) -> World:
    return World.new(control_plane, [rule for rule in RULES if rule["resources"] != ["secrets"]])


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[ApiProxy]:
    keys = control_plane.authority
    own = (keys.cert("apiserver"), keys.key("apiserver"))
    with ApiProxy(control_plane.admin_url, control_plane.ca_file, own) as proxy:
        yield proxy


@pytest.fixture
async def connect(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Connect]:
    """Make adapters; each is what a newly started operator has."""
    made: list[Client] = []

    async def connect(proxy: ApiProxy | None = None, charts: Path = CHARTS, **options: Any) -> HelmReleases:
        kubeconfig = world.kubeconfig
        if proxy is not None:
            kubeconfig = proxy.kubeconfig(kubeconfig, tmp_path / f"proxied-{proxy.port}.kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        made.append(Client(await Connection.open()))
        return releases(made[-1], charts, **options)

    yield connect
    for client in made:
        await client.close()
