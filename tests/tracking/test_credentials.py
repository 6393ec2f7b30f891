"""The login: when its Secret is read, what is said when that fails, and that it is shown nowhere."""

import asyncio
import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping

import pytest

from runwright.errors import ClusterUnavailableError, RefusedError
from runwright.kube.secrets import read_secret
from runwright.ports import Json, Key, Kind
from runwright.tracking.credentials import Credentials, CredentialsError

SECRET = Key("tracking", "main-mlflow-operator")
SERVER = "https://main-mlflow.tracking.svc:5000"


class Vault:
    """A Secret that changes, and a clock."""

    def __init__(self, found: Mapping[str, str] | Exception | None) -> None:
        self.found = found
        self.reads = 0
        self.now = 0.0

    async def read(self, key: Key) -> Mapping[str, str] | None:
        assert key == SECRET
        self.reads += 1
        await asyncio.sleep(0)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def credentials(self) -> Credentials:
        return Credentials(SECRET, self.read, SERVER, clock=lambda: self.now)


def login(password: str, username: str = "operator") -> dict[str, str]:
    return {"username": username, "password": password}


def decoded(header: str) -> str:
    return b64decode(header.removeprefix("Basic ")).decode(errors="surrogateescape")


async def test_the_secret_is_read_when_it_is_needed_and_once_for_all() -> None:
    vault = Vault(login("pass:wörd"))
    credentials = vault.credentials()
    assert vault.reads == 0
    headers = await asyncio.gather(*(credentials.header() for _ in range(5)))
    assert {decoded(header) for header in headers} == {"operator:pass:wörd"}
    assert vault.reads == 1


async def test_after_a_refusal_it_is_read_again_at_once_and_then_at_most_every_minute() -> None:
    vault = Vault(login("old"))
    credentials = vault.credentials()
    old = await credentials.header()
    vault.found = login("new")
    assert await asyncio.gather(*(credentials.renewed(old) for _ in range(4))) == [True] * 4
    assert vault.reads == 2
    new = await credentials.header()
    assert decoded(new) == "operator:new"
    vault.now = 59.9
    vault.found = login("newer")
    assert not await credentials.renewed(new)
    assert vault.reads == 2
    vault.now = 60.0
    assert await credentials.renewed(new)
    assert decoded(await credentials.header()) == "operator:newer"


async def test_a_secret_that_did_not_change_is_no_reason_to_try_again() -> None:
    vault = Vault(login("x"))
    credentials = vault.credentials()
    assert not await credentials.renewed(await credentials.header())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "is missing: create it with the keys username and password"),
        ({}, "has no username and no password: add what is missing"),
        ({"username": "operator", "password": ""}, "has no password: add"),
        (login("x", "oper:ator"), "a username with a colon"),
        (RefusedError("forbidden", status=403), "(HTTP 403): allow it to get Secrets in that namespace"),
        (ClusterUnavailableError("no answer within 10 s"), "cannot be read while the API server does not answer"),
    ],
)
async def test_what_is_wrong_is_told_with_the_secret_and_the_remedy_and_heals(
    found: Mapping[str, str] | Exception | None, words: str
) -> None:
    vault = Vault(found)
    credentials = vault.credentials()
    told = set()
    for _ in range(2):
        with pytest.raises(CredentialsError) as raised:
            await credentials.header()
        told.add(str(raised.value))
    (sentence,) = told
    assert words in sentence
    assert str(SECRET) in sentence
    vault.found = login("x")
    assert decoded(await credentials.header()) == "operator:x"


async def test_a_secret_that_goes_after_a_refusal_is_looked_for_at_every_call() -> None:
    vault = Vault(login("old"))
    credentials = vault.credentials()
    old = await credentials.header()
    vault.found = None
    for call in (credentials.renewed(old), credentials.header()):
        with pytest.raises(CredentialsError, match="is missing"):
            await call
    vault.found = login("new")
    assert decoded(await credentials.header()) == "operator:new"


async def test_no_text_holds_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vault = Vault(login("hunter2:", "oper:ator"))
    credentials = vault.credentials()
    with pytest.raises(CredentialsError) as raised:
        await credentials.header()
    vault.found = login("hunter2")
    header = await credentials.header()
    texts = [repr(credentials), str(credentials), str(raised.value), repr(raised.value), caplog.text]
    assert not [text for text in texts if "hunter2" in text or header in text]


class OneSecret:
    """As much of a cluster as the reader needs."""

    def __init__(self, secret: Json | None) -> None:
        self.secret = secret

    async def get(self, kind: Kind, key: Key) -> Json | None:
        assert (kind, key) == (Kind.SECRET, SECRET)
        return self.secret


async def test_values_of_a_secret_arrive_byte_for_byte() -> None:
    raw = {"username": "opérateur".encode(), "password": b"\xff\x00\n"}
    stored = {"data": {name: b64encode(value).decode() for name, value in raw.items()}}
    found = await read_secret(OneSecret(stored), SECRET)  # type: ignore[arg-type]
    assert found is not None
    assert {name: value.encode(errors="surrogateescape") for name, value in found.items()} == raw
    assert await read_secret(OneSecret(None), SECRET) is None  # type: ignore[arg-type]
    assert await read_secret(OneSecret({}), SECRET) == {}  # type: ignore[arg-type]
