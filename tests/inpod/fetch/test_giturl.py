"""Addresses and revisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.fetch.giturl import candidates, check_path, check_revision, is_commit, may_be_commit, parse_url
from runwright.inpod.fetch.problems import FetchError, Reason


@pytest.mark.parametrize(
    ("url", "transport", "origin"),
    [
        ("https://github.com/o/r.git", "https", "https://github.com"),
        ("https://git.corp:8443/a/b/c", "https", "https://git.corp:8443"),
        ("https://[::1]:8443/r", "https", "https://[::1]:8443"),
        ("http://gitea.svc:3000/o/r", "http", "http://gitea.svc:3000"),
        ("ssh://git@github.com/o/r.git", "ssh", "github.com"),
        ("ssh://git@host:2222/srv/r.git", "ssh", "host"),
        ("ssh://[::1]/r", "ssh", "[::1]"),
        ("git@github.com:o/r.git", "ssh", "github.com"),
        ("host:/srv/r.git", "ssh", "host"),
    ],
)
def test_addresses(url: str, transport: str, origin: str) -> None:
    remote = parse_url(url)
    assert (remote.url, remote.transport, remote.origin) == (url, transport, origin)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:token@host/r", "credentialsSecretRef"),
        ("https://token@host/r", "credentialsSecretRef"),
        ("ssh://git:secret@host/r", "credentialsSecretRef"),
        ("file:///etc", "file:// is not supported"),
        ("git://host/r", "git:// is not supported"),
        ("ext::sh -c id", "not an address"),
        ("https://host/r?token=1", "query"),
        ("https://host/r#x", "fragment"),
        ("https://host", "names no repository"),
        ("https://host:port/r", "not a URL"),
        ("ssh://-oProxyCommand=id/r", "no valid host"),
        ("ssh://-x@host/r", "no valid host"),
        ("-oProxyCommand=id:r", "not an address"),
        ("git@host:-r", "not an address"),
        ("/srv/r.git", "not an address"),
        ("https://ho st/r", "no valid host"),
        ("git@host:r r", "not an address"),
    ],
)
def test_refused_addresses(url: str, said: str) -> None:
    with pytest.raises(FetchError, match=r"spec\.source\.git\.url: ") as caught:
        parse_url(url)
    assert said in str(caught.value)
    assert caught.value.reason is Reason.INVALID_JOB
    assert "secret" not in str(caught.value)
    assert "token@" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_address_becomes_an_option_or_another_transport(url: str) -> None:
    try:
        remote = parse_url(url)
    except FetchError:
        return
    assert not remote.url.startswith("-")
    assert not remote.origin.startswith("-")
    assert "::" not in remote.url.split("/", 1)[0] or "[" in remote.url


@pytest.mark.parametrize("name", ["main", "v1.0", "team/x", "refs/heads/main", "release-2026.1", "ünï", "HEAD", "a@b"])
def test_revisions(name: str) -> None:
    assert check_revision(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "a b",
        "a..b",
        "HEAD~1",
        "main^",
        "a:b",
        "a@{1}",
        "@",
        "/a",
        "a/",
        "a//b",
        "x.lock",
        "x.",
        "a\\b",
        "a*",
        "?",
    ],
)
def test_refused_revisions(name: str) -> None:
    with pytest.raises(FetchError) as caught:
        check_revision(name)
    assert caught.value.reason is Reason.GIT_REVISION


def test_what_may_be_a_commit() -> None:
    assert is_commit("a" * 40)
    assert is_commit("A" * 64)
    assert not is_commit("a" * 39)
    assert may_be_commit("abcdef0")
    assert not may_be_commit("abcdef")
    assert not may_be_commit("main")


def test_candidates_are_in_gits_order() -> None:
    assert candidates("v1") == ("refs/v1", "refs/tags/v1", "refs/heads/v1")
    assert candidates("refs/pull/1/head") == ("refs/pull/1/head",)
    assert candidates("HEAD") == ("HEAD",)


@pytest.mark.parametrize(
    ("path", "folder"), [(None, ""), ("", ""), (".", ""), ("./", ""), ("a/", "a"), ("./a/b", "a/b"), ("a b", "a b")]
)
def test_paths(path: str | None, folder: str) -> None:
    assert check_path(path) == folder


@pytest.mark.parametrize("path", ["/a", "..", "a/../b", "../a", "a//b"])
def test_refused_paths(path: str) -> None:
    with pytest.raises(FetchError, match=r"spec\.source\.git\.path"):
        check_path(path)
