"""Git URLs and revisions: which ones are taken, and what they are made of."""

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from runwright.inpod.fetch.problems import FetchError, Reason
from runwright.inpod.fetch.tree import UnsafePathError, safe_path

URL_FIELD: Final = "spec.source.git.url"
REVISION_FIELD: Final = "spec.source.git.revision"
PATH_FIELD: Final = "spec.source.git.path"
SECRET_FIELD: Final = "spec.source.git.credentialsSecretRef"  # noqa: S105  # a field's name

_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_SCP: Final = re.compile(rf"^(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?(?P<host>{_HOST}):(?P<path>(?!/{{2}}|-)[^\s\x00]+)$")
_FULL: Final = re.compile(r"^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$")
_SHORT: Final = re.compile(r"^[0-9a-fA-F]{7,63}$")
_NOT_IN_REFS: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository's address.

    Attributes:
        url: As git gets it; holds no secret.
        transport: How it is reached.
        origin: ``https://host[:port]`` for https and http, else the host.
    """

    url: str
    transport: Literal["https", "http", "ssh"]
    origin: str


def _wrong(message: str, remedy: str) -> FetchError:
    return FetchError(Reason.INVALID_JOB, URL_FIELD, message, remedy)


def parse_url(url: str) -> Remote:
    """Read a repository's address.

    Raises:
        FetchError: Neither https nor ssh, or with a password or token in it.
    """
    if "://" not in url:
        if found := _SCP.match(url):
            return Remote(url, "ssh", found["host"])
        raise _wrong(
            "not an address git can fetch from", "use https://host/path, ssh://user@host/path or user@host:path"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _wrong(f"not a URL ({error})", "correct it") from None
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise _wrong("holds a user or password", "put them into a Secret and name it in credentialsSecretRef")
    if parts.scheme not in {"https", "http", "ssh"}:
        raise _wrong(f"{parts.scheme}:// is not supported", "use https:// or ssh://")
    if parts.query or parts.fragment:
        raise _wrong("has a query or fragment", "leave out what follows '?' or '#'")
    name = f"[{host}]" if ":" in host else host
    user = parts.username or ""
    if not re.fullmatch(_HOST, name) or user.startswith("-") or re.search(r"[\s\x00]", url):
        raise _wrong("has no valid host name", "correct it")
    if not parts.path.strip("/"):
        raise _wrong("names no repository", "add its path")
    if parts.scheme == "ssh":
        return Remote(url, "ssh", name)
    origin = f"{parts.scheme}://{name}" + (f":{port}" if port else "")
    return Remote(url, "https" if parts.scheme == "https" else "http", origin)


def is_commit(revision: str) -> bool:
    """Whether this is a full commit."""
    return _FULL.match(revision) is not None


def may_be_commit(revision: str) -> bool:
    """Whether this may be an abbreviated commit."""
    return _SHORT.match(revision) is not None


def check_revision(revision: str) -> str:
    """Return `revision` if it can name a branch, tag or commit (git-check-ref-format(1)).

    Raises:
        FetchError: It cannot.
    """
    bad = (
        _NOT_IN_REFS.search(revision) or revision.startswith(("-", "/", ".")) or revision.endswith(("/", ".", ".lock"))
    )
    if bad or revision == "@":
        raise FetchError(
            Reason.GIT_REVISION,
            REVISION_FIELD,
            f"{revision!r} is not the name of a branch, tag or commit",
            "expressions such as HEAD~1 are not supported; give the commit itself",
        )
    return revision


def check_path(path: str | None) -> str:
    """Return the folder without slashes around it, ``""`` for the whole repository.

    Raises:
        FetchError: It leaves the repository.
    """
    trimmed = (path or "").removeprefix("./").rstrip("/")
    if trimmed in {"", "."}:
        return ""
    try:
        return safe_path(trimmed)
    except UnsafePathError as error:
        raise FetchError(Reason.GIT_PATH, PATH_FIELD, str(error), "give a relative path in the repository") from None


def candidates(revision: str) -> tuple[str, ...]:
    """Return the full ref names that a revision may mean, in git's own order (gitrevisions(7))."""
    if revision == "HEAD":
        return ("HEAD",)
    if revision.startswith("refs/"):
        return (revision,)
    return (f"refs/{revision}", f"refs/tags/{revision}", f"refs/heads/{revision}")
