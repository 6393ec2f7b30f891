"""Finding the URL of a kind on a real API server."""

import pytest

from runwright.errors import RefusedError
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.kube.discovery import Discovery
from tests.contract.helm.world import World
from tests.support.api_proxy import ApiProxy

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("v1", "ConfigMap", "/api/v1/namespaces/a/configmaps/b"),
        ("v1", "Namespace", "/api/v1/namespaces/b"),
        ("apps/v1", "StatefulSet", "/apis/apps/v1/namespaces/a/statefulsets/b"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/b"),
    ],
)
async def test_kinds_are_found_and_remembered(
    world: World, proxy: ApiProxy, monkeypatch: pytest.MonkeyPatch, api_version: str, kind: str, path: str
) -> None:
    kubeconfig = proxy.kubeconfig(world.kubeconfig, world.kubeconfig.with_suffix(".proxied"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    connection = await Connection.open()
    assert connection.kubeconfig == str(kubeconfig)
    client = Client(connection)
    try:
        discovery = Discovery(client)
        for _ in range(3):
            assert (await discovery.resource(api_version, kind)).item("a", "b") == path
        assert len(proxy.seen) == 1
        with pytest.raises(RefusedError, match=f"does not serve the kind Nonsense of {api_version}"):
            await discovery.resource(api_version, "Nonsense")
        with pytest.raises(RefusedError):
            await discovery.resource("example.com/v1", kind)
    finally:
        await client.close()
