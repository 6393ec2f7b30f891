"""An API server that is away. What else can be missing is tested against a real one in tests/contract/operator."""

import json
from pathlib import Path

import pytest

from runwright.errors import ConfigurationError
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.operator.preflight import preflight
from runwright.operator.settings import Settings


async def test_a_server_that_stays_away_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    client = Client(await Connection.open())
    with pytest.raises(ConfigurationError) as caught:
        await preflight(client, Settings(), patience=0.0)
    await client.close()
    message = str(caught.value)
    assert message.startswith("The API server https://127.0.0.1:1 gave no usable answer for 0 s: No connection")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "just text", "clusters: [", "{}", "current-context: nowhere"])
async def test_a_kubeconfig_that_cannot_be_used_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(ConfigurationError, match=r"The kubeconfig .*config cannot be used: "):
        await Connection.open()


async def test_a_pod_without_a_token_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigurationError, match="automountServiceAccountToken"):
        await Connection.open()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "127.0.0.1"}, None),
    ],
)
async def test_proxies_of_the_environment_are_used_as_kubectl_does(
    environ: dict[str, str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert (await Connection.open()).configuration.proxy == expected
