"""Code from Git: one commit, without its history, hooks, submodules or ``.git``."""

import difflib
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from runwright.inpod.fetch.checkout import Checkout, check_out, move_into
from runwright.inpod.fetch.credentials import Secret
from runwright.inpod.fetch.disk import describe
from runwright.inpod.fetch.gitrun import Git, RefusedWantError
from runwright.inpod.fetch.giturl import (
    REVISION_FIELD,
    SECRET_FIELD,
    URL_FIELD,
    candidates,
    check_path,
    check_revision,
    is_commit,
    may_be_commit,
    parse_url,
)
from runwright.inpod.fetch.job import GitJob
from runwright.inpod.fetch.patience import Patience
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError
from runwright.inpod.fetch.setting import Setting

log = logging.getLogger(__name__)

WANTED: Final = "refs/runwright/wanted"
SOME_HISTORY: Final = 100
"""Commits back from every branch and tag, looked through before the whole history is."""
EVERYTHING: Final = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
SCRATCH: Final = ".runwright-fetch-git"
"""Folder in the workspace while the fetch runs: the same file system, so that moving costs nothing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of ``spec.source.git``.

    Attributes:
        commit: Full hash.
        ref: Full ref that the revision named, ``""`` for a commit.
        checkout: What lies in the workspace.
        seconds: How long it took.
    """

    commit: str
    ref: str
    checkout: Checkout
    seconds: float


class Repository:
    """One remote repository and the local one that gets what is wanted of it."""

    def __init__(self, git: Git, url: str, scratch: Path, retry_seconds: float) -> None:
        self._git = git
        self._url = url
        self._scratch = scratch
        self._retry_seconds = retry_seconds
        self.directory = scratch / "repository"

    def _patiently(self, call: Callable[[], T]) -> T:
        patience = Patience(URL_FIELD, self._retry_seconds)
        while True:
            try:
                return call()
            except RefusedWantError:
                raise
            except TroubleError as trouble:
                log.info("git: %s; trying again", trouble)
                patience.after(trouble)

    def _local(self, *arguments: str, directory: Path | None = None) -> str:
        return self._git.run(f"--git-dir={directory or self.directory}", *arguments)

    def _fetch(self, *refspecs: str, options: tuple[str, ...] = (), directory: Path | None = None) -> None:
        always = ("--quiet", "--no-tags", "--force", "--no-recurse-submodules", "--no-write-fetch-head")
        self._patiently(
            lambda: self._local("fetch", *always, *options, self._url, *refspecs, directory=directory),
        )

    def _init(self, directory: Path, digits: int) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        formats = ("--object-format=sha256",) if digits > 40 else ()  # noqa: PLR2004  # hex digits of SHA-1
        self._git.run("init", "--quiet", "--bare", "--template=", *formats, str(directory))

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return the server's refs, hash by full name; of an annotated tag also ``name^{}``."""
        told = self._patiently(lambda: self._git.run("ls-remote", "--quiet", self._url, *patterns))
        pairs = (line.split("\t", 1) for line in told.splitlines() if "\t" in line)
        return {name: value for value, name in pairs}

    def _holds(self, commit: str, directory: Path | None = None) -> str | None:
        try:
            return self._local("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}", directory=directory).strip()
        except (TroubleError, FetchError):
            return None

    def take_ref(self, ref: str, digits: int) -> str:
        """Fetch what a ref points to; returns its commit."""
        self._init(self.directory, digits)
        self._fetch(f"+{ref}:{WANTED}", options=("--depth=1",))
        commit = self._holds(WANTED)
        if commit is None:
            raise FetchError(Reason.GIT_REVISION, REVISION_FIELD, f"{ref} is no commit", "name a branch, tag or commit")
        return commit

    def take_commit(self, commit: str, revision: str) -> str:
        """Fetch one commit, by its name if the server allows that, else by way of branches and tags.

        Raises:
            FetchError: No branch or tag leads to it.
        """
        self._init(self.directory, len(commit))
        try:
            self._fetch(f"+{commit}:{WANTED}", options=("--depth=1",))
        except RefusedWantError as refusal:
            log.info(
                "git: the server does not give %s by name (%s); looking through branches and tags", commit, refusal
            )
            self._search(commit, revision)
        if self._holds(commit) != commit:
            raise FetchError(
                Reason.GIT_REVISION, REVISION_FIELD, f"{commit} is no commit of this repository", "name a commit"
            )
        return commit

    def _search(self, commit: str, revision: str) -> None:
        for options in ((f"--depth={SOME_HISTORY}",), ("--depth=2147483647",)):  # the latter is git's "infinite"
            self._fetch(*EVERYTHING, options=options)
            if self._holds(commit):
                return
            if options[0].endswith(f"={SOME_HISTORY}"):
                self.expand(commit, revision)  # costs commits only where the server can filter; raises if unknown
        raise FetchError(*_unknown(commit, revision))

    def expand(self, abbreviated: str, revision: str) -> str:
        """Return the full hash of a commit, from the history's commits without their content.

        Raises:
            FetchError: No branch or tag leads to such a commit, or to several.
        """
        refs = self.refs()
        if not refs:
            raise FetchError(Reason.GIT_REVISION, REVISION_FIELD, "the repository is empty", "push to it first")
        directory = self._scratch / "history"
        self._init(directory, len(next(iter(refs.values()))))
        self._fetch(*EVERYTHING, options=("--filter=tree:0",), directory=directory)
        try:
            found = self._holds(abbreviated, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if found is None:
            raise FetchError(*_unknown(abbreviated, revision))
        return found


def _unknown(commit: str, revision: str) -> tuple[Reason, str, str, str]:
    named = f" (what {revision} was at an earlier attempt)" if revision not in {"", commit} else ""
    message = f"no branch or tag leads to exactly one commit {commit}{named}"
    return Reason.GIT_REVISION, REVISION_FIELD, message, "push it, or give a branch, tag or full commit"


def resolve(repository: Repository, job: GitJob) -> tuple[str, str]:
    """Fetch what the job wants; returns commit and ref (``""`` for a commit given as such).

    Raises:
        FetchError: There is no such thing, or it can't be reached.
    """
    revision = check_revision(job.revision or "HEAD")
    if job.commit:
        return repository.take_commit(job.commit, revision), ""
    if is_commit(revision):
        return repository.take_commit(revision.lower(), revision), ""
    names = candidates(revision)
    refs = repository.refs(*names)
    if ref := next((name for name in names if name in refs), None):
        if len([name for name in names if name in refs]) > 1:
            log.info("git: several refs are called %s; %s is taken", revision, ref)
        return repository.take_ref(ref, len(refs[ref])), ref
    if may_be_commit(revision):
        full = repository.expand(revision.lower(), revision)
        return repository.take_commit(full, revision), ""
    raise FetchError(
        Reason.GIT_REVISION,
        REVISION_FIELD,
        f"there is no branch or tag {revision!r}",
        _suggestion(repository, revision),
    )


def _suggestion(repository: Repository, revision: str) -> str:
    names = [name.split("/", 2)[-1] for name in repository.refs() if name.startswith(("refs/heads/", "refs/tags/"))]
    known = sorted({name for name in names if not name.endswith("^{}")})
    if not known:
        return "the repository is empty: push to it first"
    close = difflib.get_close_matches(revision, known, n=3, cutoff=0.5) or known[:5]
    return f"there is {', '.join(close)}" + (" and others" if len(known) > len(close) else "")


def fetch_git(job: GitJob, workspace: Path, setting: Setting, resolved: Callable[[str], None]) -> Fetched:
    """Fill the workspace with one commit's files.

    Args:
        job: What is wanted.
        workspace: Where to.
        setting: Shared by all parts.
        resolved: Told the commit before the first file arrives in the workspace.

    Raises:
        FetchError: With one of the git reasons.
    """
    begun = time.monotonic()
    remote = parse_url(job.url)
    folder = check_path(job.path)
    secret = Secret(Path(job.credentials) if job.credentials else None, SECRET_FIELD)
    git = Git(remote, secret, setting)
    scratch = workspace / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of an earlier process in the same pod
    try:
        scratch.mkdir(parents=True)
        log.info("git: fetching %s from %s", job.commit or job.revision or "the default branch", job.url)
        repository = Repository(git, job.url, scratch, setting.pace.retry_seconds)
        commit, ref = resolve(repository, job)
        resolved(commit)
        checkout = check_out(git, repository.directory, scratch / "tree", commit, folder)
        move_into(scratch / "tree", workspace)
    except RefusedWantError as refusal:
        message = f"{job.revision or 'the default branch'} vanished while it was fetched ({refusal})"
        raise FetchError(Reason.GIT_REVISION, REVISION_FIELD, message, "check that it still exists") from None
    except TroubleError as trouble:  # of a command that asks no server
        raise FetchError(Reason.INTERNAL, URL_FIELD, f"git failed: {trouble}") from None
    except OSError as error:
        raise describe(error, URL_FIELD, workspace) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.monotonic() - begun
    log.info("git: commit %s: %d files, %d bytes in %.1f s", commit, checkout.files, checkout.size, seconds)
    return Fetched(commit, ref, checkout, seconds)
