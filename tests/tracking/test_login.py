"""A server that asks for a login, over HTTP and TLS: real servers on loopback."""

import logging
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Key, TrackingServer
from runwright.tracking.breaker import BreakerSettings
from runwright.tracking.transport import ClientSettings, Transport
from tests.support.certificates import Authority, Certificate

SECRET = Key("tracking", "login")
SETTINGS = ClientSettings(reread_seconds=0.0, breaker=BreakerSettings(first_seconds=600.0))


class Guarded:
    """Lets in who knows the password."""

    def __init__(self, tls: Certificate | None = None) -> None:
        self.password = "hunter2"
        self.forbidden = False
        self.requests = 0
        self.uri = ""
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(tls.certificate, tls.key)

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        await request.read()
        wanted = "Basic " + b64encode(f"operator:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return web.Response(status=401, text="You are not authenticated.")
        if self.forbidden:
            return web.Response(status=403, text="Permission denied")
        return web.json_response({"fine": True})

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._context).start()
        scheme = "https" if self._context else "http"
        self.uri = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        return runner


class Vault:
    def __init__(self) -> None:
        self.secret: Mapping[str, str] | None = {"username": "operator", "password": "hunter2"}
        self.reads = 0

    async def read(self, key: Key) -> Mapping[str, str] | None:
        assert key == SECRET
        self.reads += 1
        return self.secret


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    made = Guarded()
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
async def transport(guarded: Guarded, vault: Vault) -> AsyncIterator[Transport]:
    made = Transport(TrackingServer(guarded.uri, operator_secret=SECRET), SETTINGS, read_secret=vault.read)
    yield made
    await made.aclose()


async def test_calls_and_uploads_carry_the_login(guarded: Guarded, transport: Transport, vault: Vault) -> None:
    assert await transport.call("GET", "runs/get") == {"fine": True}
    await transport.put("1/r/artifacts/x.log", b"x")
    assert (guarded.requests, vault.reads) == (2, 1)


async def test_a_changed_secret_is_used_at_once_even_where_nothing_may_be_repeated(
    guarded: Guarded, transport: Transport, vault: Vault
) -> None:
    await transport.call("GET", "runs/get")
    guarded.password = "hunter3"
    vault.secret = {"username": "operator", "password": "hunter3"}
    assert await transport.call("POST", "runs/create", json={}, repeatable=False) == {"fine": True}
    assert vault.reads == 2
    assert transport.breaker.problem == ""


async def test_a_wrong_password_is_told_with_its_secret_and_nowhere_shown(
    guarded: Guarded, transport: Transport, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vault.secret = {"username": "operator", "password": "wrong-word"}
    with pytest.raises(TrackerUnavailableError) as raised:
        await transport.call("GET", "runs/get")
    told = str(raised.value)
    assert told == (
        f"MLflow at {guarded.uri} does not accept the user name and password of Secret tracking/login (HTTP 401): "
        "put those that the server knows into it"
    )
    with pytest.raises(TrackerUnavailableError, match=re.escape(told)):
        await transport.call("GET", "runs/get")
    assert transport.breaker.problem == told
    assert guarded.requests == 1, "the circuit is open after one"
    shown = [told, repr(raised.value), repr(transport), caplog.text, repr(vars(transport))]
    hidden = b64encode(b"operator:wrong-word").decode()
    assert not [text for text in shown if "wrong-word" in text or hidden in text]


async def test_a_secret_that_appears_heals_at_the_next_probe(
    guarded: Guarded, transport: Transport, vault: Vault
) -> None:
    vault.secret = None
    for _ in range(2):
        with pytest.raises(TrackerUnavailableError, match=r"^Secret tracking/login, .* is missing: create it"):
            await transport.call("GET", "runs/get", early=True)
    assert guarded.requests == 0
    vault.secret = {"username": "operator", "password": "hunter2"}
    assert await transport.call("GET", "experiments/search", early=True) == {"fine": True}
    assert transport.breaker.problem == ""


async def test_a_user_without_permission_is_a_refusal_and_no_outage(
    guarded: Guarded, transport: Transport, vault: Vault
) -> None:
    guarded.forbidden = True
    for _ in range(5):
        with pytest.raises(RefusedError, match=r"Secret tracking/login has no permission.*administrator") as raised:
            await transport.call("POST", "runs/update", json={})
        assert raised.value.status == 403
    assert transport.breaker.problem == ""


async def test_a_login_that_the_stack_does_not_name_is_asked_for(guarded: Guarded) -> None:
    transport = Transport(TrackingServer(guarded.uri), SETTINGS)
    with pytest.raises(TrackerUnavailableError, match=r"asks for a login \(HTTP 401\).*credentialsSecretRef"):
        await transport.call("GET", "runs/get")
    await transport.aclose()


async def test_a_transport_that_was_closed_says_so(transport: Transport) -> None:
    await transport.call("GET", "runs/get")
    await transport.aclose()
    with pytest.raises(TrackerUnavailableError, match="belongs to no TrackingStack any more"):
        await transport.call("GET", "runs/get")


# ---------------------------------------------------------------------------------------------------- TLS


async def asked(server: Guarded, ca_bundle: str, uri: str = "") -> str:
    """What a call with these authorities comes to: "" or why not; twice, for the sentence must be stable."""
    runner = await server.start()
    address = uri.format(port=server.uri.rsplit(":", 1)[-1]) or server.uri
    told = set()
    for _ in range(2):
        transport = Transport(TrackingServer(address, ca_bundle=ca_bundle), SETTINGS)
        try:
            with pytest.raises(TrackerUnavailableError) as raised:
                await transport.call("GET", "runs/get")
        finally:
            await transport.aclose()
        told.add(str(raised.value).replace(server.uri, "SERVER"))
    await runner.cleanup()
    (sentence,) = told
    return sentence


ASKS_FOR_LOGIN = "MLflow at SERVER asks for a login"
"""TLS went well."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_the_bundles_authorities_are_trusted_all_of_them(authority: Authority, tmp_path: Path) -> None:
    server = Guarded(authority.issue(tmp_path, "127.0.0.1"))
    bundle = f"# Autorité\n{Authority('another').pem}\n{authority.pem}"
    assert (await asked(server, bundle)).startswith(ASKS_FOR_LOGIN)


async def test_the_bundle_is_added_to_the_systems_authorities(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    server = Guarded(authority.issue(tmp_path, "127.0.0.1"))
    assert (await asked(server, Authority("another").pem)).startswith(ASKS_FOR_LOGIN)


@pytest.mark.parametrize("bundle", ["", Authority("another").pem, Authority().pem], ids=["none", "another", "namesake"])
async def test_an_unknown_authority_is_told_with_the_remedy(authority: Authority, tmp_path: Path, bundle: str) -> None:
    server = Guarded(authority.issue(tmp_path, "127.0.0.1"))
    assert await asked(server, bundle) == (
        "MLflow at SERVER does not answer: its certificate comes from an authority that is not trusted; put that "
        "authority (PEM) into the TrackingStack: server.external.caBundle, or ca.crt in the Secret of "
        "server.tlsSecretName"
    )


async def test_an_expired_certificate_is_told(authority: Authority, tmp_path: Path) -> None:
    server = Guarded(authority.issue(tmp_path, "127.0.0.1", valid_for=-timedelta(days=1)))
    assert "has expired; renew it" in await asked(server, authority.pem)


async def test_a_certificate_for_another_name_is_told(authority: Authority, tmp_path: Path) -> None:
    server = Guarded(authority.issue(tmp_path, "mlflow.example"))
    assert "its certificate is not made for 127.0.0.1; make one" in await asked(server, authority.pem)
    server = Guarded(authority.issue(tmp_path, "mlflow.example"))
    told = await asked(server, authority.pem, "https://localhost:{port}")
    assert "its certificate is not made for localhost; make one" in told


async def test_a_server_without_tls_is_told(authority: Authority) -> None:
    told = await asked(Guarded(), authority.pem, "https://127.0.0.1:{port}")
    assert "it speaks no TLS that the operator knows; check that trackingUri's https is right" in told


@pytest.mark.parametrize(
    "bundle",
    [
        "-----BEGIN CERTIFICATE-----\nnot base64 at all\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "certificate",
        "-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----",
    ],
)
async def test_a_bundle_that_is_no_pem_is_refused_clearly(authority: Authority, tmp_path: Path, bundle: str) -> None:
    server = Guarded(authority.issue(tmp_path, "127.0.0.1"))
    told = await asked(server, bundle)
    assert told.startswith("MLflow at SERVER: the authorities to trust cannot be read: server.external.caBundle, or")
