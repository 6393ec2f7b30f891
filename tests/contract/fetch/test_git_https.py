"""Code over HTTPS, from a private repository on a real server."""

import os
from pathlib import Path

import pytest

from tests.cluster.pki import Authority
from tests.cluster.shell import eventually
from tests.contract.fetch import repositories
from tests.contract.fetch.fetching import Outcome, Pod
from tests.contract.fetch.gitserver import PASSWORD, USER, HttpsGit
from tests.contract.fetch.repositories import LFS_POINTER, Repository

CODE = {"models/deep/a.txt": b"a", "models/net.py": b"# net\n", "train.py": b"print(1)\n"}


@pytest.fixture
def secret(pod: Pod, authority: Authority) -> str:
    # A final line feed, as `kubectl create secret --from-file` keeps it.
    keys = {"username": USER, "password": PASSWORD + "\n", "ca.crt": authority.cert("ca").read_text()}
    return pod.secret("git", keys)


def fetch(pod: Pod, https: HttpsGit, secret: str, revision: str | None = None, **more: str) -> Outcome:
    git = {"url": https.url("code.git"), "credentials": secret, "revision": revision, **more}
    return pod.fetch(pod.job(git=git))


def test_default_branch_with_credentials_and_own_authority(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str
) -> None:
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert pod.files() == CODE
    git = outcome.message["git"]
    assert git["commit"] == repository.git("rev-parse", "HEAD")
    assert git["ref"] == "HEAD"
    assert (git["files"], git["bytes"]) == (3, sum(map(len, CODE.values())))
    assert repository.git("rev-parse", "HEAD") in pod.result.read_text()


def test_no_trace_of_credentials_and_nothing_else_left(pod: Pod, https: HttpsGit, secret: str) -> None:
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert pod.traces(PASSWORD) == []
    assert list(pod.tmp.iterdir()) == []
    assert sorted(path.name for path in pod.workspace.iterdir()) == ["models", "train.py"]


def test_credentials_are_in_no_process_arguments_or_environment(pod: Pod, https: HttpsGit, secret: str) -> None:
    https.trouble.gate.clear()
    process = pod.start(pod.job(git={"url": https.url("code.git"), "credentials": secret}))
    assert https.waiting.wait(60), pod.log
    assert len(family(pod)) >= 3  # the fetch itself, git, and git's https helper
    for entry in Path("/proc").glob("[0-9]*"):
        assert PASSWORD.encode() not in _read(entry / "cmdline", entry / "environ"), entry
    https.trouble.gate.set()
    assert pod.outcome(process).code == 0


@pytest.mark.parametrize("old_protocol", [False, True])
@pytest.mark.parametrize("kind", ["branch", "tag", "annotated", "full", "short", "refs", "slash"])
def test_revisions(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str, kind: str, old_protocol: bool
) -> None:
    wanted = repository.commit({"train.py": "print(2)\n"})
    repository.git("tag", "light")
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.git("branch", "team/x")
    repository.git("branch", "side")
    repository.commit({"train.py": "print(3)\n"})  # what is wanted is no tip of main any more
    https.trouble.old_protocol = old_protocol
    revision = {
        "branch": "side",
        "tag": "light",
        "annotated": "v1",
        "full": wanted.upper(),
        "short": wanted[:9],
        "refs": "refs/heads/side",
        "slash": "team/x",
    }[kind]
    outcome = fetch(pod, https, secret, revision)
    assert outcome.code == 0, outcome.log
    assert outcome.message["git"]["commit"] == wanted
    assert pod.files()["train.py"] == b"print(2)\n"


@pytest.mark.parametrize("filtering", [False, True])
@pytest.mark.parametrize("old_protocol", [False, True])
def test_a_commit_deep_in_the_history(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str, old_protocol: bool, filtering: bool
) -> None:
    repository.configure("uploadpack.allowFilter", str(filtering).lower())
    wanted = repository.commit({"train.py": "print('deep')\n"})
    for number in range(110):  # more than are looked through at first
        repository.git("commit", "-q", "--allow-empty", "-m", str(number))
    repository.push()
    https.trouble.old_protocol = old_protocol
    outcome = fetch(pod, https, secret, wanted)
    assert outcome.code == 0, outcome.log
    assert outcome.message["git"]["commit"] == wanted
    assert pod.files()["train.py"] == b"print('deep')\n"


def test_only_the_wanted_commit_is_fetched(pod: Pod, https: HttpsGit, repository: Repository, secret: str) -> None:
    for number in range(3):
        repository.commit({"big.bin": bytes([number]) * 10 + os.urandom(2_000_000)})
    repository.commit({"big.bin": b"small now"})
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert pod.files()["big.bin"] == b"small now"
    assert https.sent < 100_000


def test_a_later_attempt_gets_the_commit_of_the_first(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str, tmp_path: Path
) -> None:
    first = fetch(pod, https, secret, "main").message["git"]["commit"]
    repository.git("commit", "-q", "--amend", "-m", "rewritten")  # forced: main no longer leads to it
    repository.push()
    second = Pod(tmp_path / "second")
    git = {"url": https.url("code.git"), "credentials": secret, "revision": "main", "commit": first}
    outcome = second.fetch(second.job(git=git))
    assert outcome.code == 0, outcome.log
    assert outcome.message["git"]["commit"] == first
    assert second.files() == CODE


def test_a_second_process_in_the_same_pod_gets_the_same_commit(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str
) -> None:
    first = fetch(pod, https, secret, "main").message["git"]["commit"]
    repository.commit({"train.py": "print('moved')\n", "new.py": ""})
    outcome = fetch(pod, https, secret, "main")
    assert outcome.message["git"]["commit"] == first
    assert pod.files() == CODE


def test_path_brings_the_content_of_that_folder(pod: Pod, https: HttpsGit, secret: str) -> None:
    outcome = fetch(pod, https, secret, path="models/")
    assert outcome.code == 0, outcome.log
    assert pod.files() == {"net.py": b"# net\n", "deep/a.txt": b"a"}


def test_mounted_volumes_inside_the_workspace_are_filled_not_replaced(pod: Pod, https: HttpsGit, secret: str) -> None:
    (pod.workspace / "models" / "deep").mkdir(parents=True)
    (pod.workspace / "models" / "deep" / "weights").write_text("precious")
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert pod.files() == {**CODE, "models/deep/weights": b"precious"}


def test_a_folder_that_is_a_file_in_the_repository_is_said(pod: Pod, https: HttpsGit, secret: str) -> None:
    (pod.workspace / "train.py").mkdir()
    outcome = fetch(pod, https, secret)
    assert outcome.error["reason"] == "GitPathNotFound"
    assert "train.py is a folder here, and a file in the repository" in outcome.error["message"]


def test_lfs_pointers_and_submodules_are_said(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str, tmp_path: Path
) -> None:
    other = repositories.create(tmp_path / "server", "lib.git", tmp_path / "work")
    other.commit({"lib.py": ""})
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.bare), "libs/x")
    repository.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "w.bin": LFS_POINTER})
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert "1 files are Git LFS pointers, not their content (w.bin)" in outcome.log
    assert "submodules are not fetched: libs/x" in outcome.log
    assert (outcome.message["git"]["lfsPointers"], outcome.message["git"]["submodules"]) == (1, 1)
    assert pod.files()["w.bin"] == LFS_POINTER.encode()


def test_hooks_of_a_repository_do_not_run(pod: Pod, https: HttpsGit, repository: Repository, secret: str) -> None:
    # A template folder and global hooks of the machine are what could bring hooks into the local repository.
    hooks = pod.root / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {pod.root}/ran-{name}\n")
        (hooks / name).chmod(0o755)
    config = pod.root / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n")
    git = {"url": https.url("code.git"), "credentials": secret}
    outcome = pod.fetch(pod.job(git=git), GIT_CONFIG_GLOBAL=str(config), GIT_CONFIG_SYSTEM=str(config))
    assert outcome.code == 0, outcome.log
    assert list(pod.root.glob("ran-*")) == []


def test_modes_links_and_odd_names_survive(pod: Pod, https: HttpsGit, repository: Repository, secret: str) -> None:
    (repository.work / "run.sh").write_text("#!/bin/sh\n")
    (repository.work / "run.sh").chmod(0o755)
    (repository.work / "link").symlink_to("train.py")
    repository.commit({"name with\nline feed": "1", "grün.txt": "2"})
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert (pod.workspace / "run.sh").stat().st_mode & 0o777 == 0o775
    assert (pod.workspace / "link").readlink() == Path("train.py")
    assert pod.files()["name with\nline feed"] == b"1"
    assert pod.files()["grün.txt"] == b"2"


def test_a_repository_of_sha256_objects(
    pod: Pod, https: HttpsGit, secret: str, tmp_path: Path, repository: Repository
) -> None:
    other = repositories.create(repository.bare.parent, "new.git", tmp_path / "work", "--object-format=sha256")
    commit = other.commit({"a.py": "1"})
    for revision in ("main", commit):
        outcome = pod.fetch(pod.job(git={"url": https.url("new.git"), "credentials": secret, "revision": revision}))
        assert outcome.code == 0, outcome.log
        assert outcome.message["git"]["commit"] == commit
        assert len(commit) == 64


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("mian", "no branch or tag 'mian'; there is main"),
        ("0123456789", "no branch or tag leads to exactly one commit 0123456789"),
        ("0" * 39 + "1", "no branch or tag leads to exactly one commit"),
        ("main~1", "expressions such as HEAD~1 are not supported"),
    ],
)
def test_unknown_revision(pod: Pod, https: HttpsGit, secret: str, revision: str, said: str) -> None:
    outcome = fetch(pod, https, secret, revision)
    assert outcome.code == 83
    assert outcome.error["reason"] == "GitRevisionNotFound"
    assert outcome.error["field"] == "spec.source.git.revision"
    assert said in outcome.error["message"]
    assert not outcome.error["retryable"]


def test_a_branch_that_vanishes_while_it_is_fetched(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str
) -> None:
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"train.py": "print('side')\n"})
    https.trouble.old_protocol = True  # what there is, is told in one answer; what is wanted, asked with the next
    https.trouble.gate.clear()
    process = pod.start(pod.job(git={"url": https.url("code.git"), "credentials": secret, "revision": "side"}))
    assert https.waiting.wait(60), pod.log
    repository.git("push", "-q", "origin", ":side")
    https.trouble.gate.set()
    outcome = pod.outcome(process)
    assert outcome.code == 83, outcome.log
    assert "side vanished while it was fetched" in outcome.error["message"]


def test_a_tag_of_a_file_is_no_commit(pod: Pod, https: HttpsGit, repository: Repository, secret: str) -> None:
    repository.git("tag", "blob", repository.git("rev-parse", "HEAD:train.py"))
    repository.push()
    outcome = fetch(pod, https, secret, "blob")
    assert outcome.code == 83
    assert "is no commit" in outcome.error["message"]


def test_empty_repository(pod: Pod, https: HttpsGit, repository: Repository, secret: str, tmp_path: Path) -> None:
    repositories.create(repository.bare.parent, "empty.git", tmp_path / "work")
    outcome = pod.fetch(pod.job(git={"url": https.url("empty.git"), "credentials": secret}))
    assert outcome.code == 83
    assert "empty: push to it first" in outcome.error["message"]


@pytest.mark.parametrize(("path", "said"), [("model", "has no 'model'"), ("train.py", "'train.py' is a file")])
def test_missing_path(pod: Pod, https: HttpsGit, secret: str, path: str, said: str) -> None:
    outcome = fetch(pod, https, secret, path=path)
    assert outcome.code == 84
    assert outcome.error["field"] == "spec.source.git.path"
    assert said in outcome.error["message"]
    assert outcome.message["git"] == {"commit": outcome.message["git"]["commit"]}  # known all the same


def test_wrong_password(pod: Pod, https: HttpsGit, authority: Authority) -> None:
    keys = {"username": USER, "password": "wrong-password", "ca.crt": authority.cert("ca").read_text()}
    outcome = fetch(pod, https, pod.secret("wrong", keys))
    assert outcome.code == 80
    assert outcome.error["reason"] == "GitAuthenticationFailed"
    assert outcome.error["field"] == "spec.source.git.credentialsSecretRef"
    assert "wrong-password" not in outcome.log


def test_no_credentials_for_a_private_repository(pod: Pod, https: HttpsGit, authority: Authority) -> None:
    outcome = fetch(pod, https, pod.secret("only-ca", {"ca.crt": authority.cert("ca").read_text()}))
    assert outcome.code == 80, outcome.log


def test_unknown_authority(pod: Pod, https: HttpsGit) -> None:
    outcome = fetch(pod, https, pod.secret("git", {"username": USER, "password": PASSWORD}))
    assert outcome.code == 76
    assert outcome.error["reason"] == "CertificateUntrusted"
    assert "ca.crt" in outcome.error["message"]


def test_authority_of_the_whole_installation(pod: Pod, https: HttpsGit, authority: Authority) -> None:
    git = {"url": https.url("code.git"), "credentials": pod.secret("git", {"username": USER, "password": PASSWORD})}
    outcome = pod.fetch(pod.job(git=git, ca_bundle=str(authority.cert("ca"))))
    assert outcome.code == 0, outcome.log


def test_malformed_authority(pod: Pod, https: HttpsGit) -> None:
    outcome = fetch(pod, https, pod.secret("git", {"password": PASSWORD, "ca.crt": "not PEM"}))
    assert outcome.code == 78
    assert "ca.crt holds no PEM certificates" in outcome.error["message"]


def test_missing_repository(pod: Pod, https: HttpsGit, secret: str) -> None:
    outcome = pod.fetch(pod.job(git={"url": https.url("other.git"), "credentials": secret}))
    assert outcome.code == 82
    assert outcome.error["field"] == "spec.source.git.url"


def test_the_secret_of_an_ssh_key_does_not_fit_https(pod: Pod, https: HttpsGit) -> None:
    outcome = fetch(pod, https, pod.secret("git", {"ssh-privatekey": "x"}))
    assert outcome.code == 78
    assert "no key password" in outcome.error["message"]


def test_credentials_do_not_follow_a_redirect_to_another_host(
    pod: Pod, https: HttpsGit, repository: Repository, authority: Authority, secret: str
) -> None:
    with HttpsGit(repository.bare.parent, authority) as other:
        https.trouble.redirect = other.url("")[:-1].replace("localhost", "127.0.0.1")
        outcome = fetch(pod, https, secret)
        assert outcome.code == 80, outcome.log
        assert other.requests
        assert {given for _, given in other.requests} == {None}


def test_plain_http_is_for_open_repositories_only(
    pod: Pod, repository: Repository, authority: Authority, tmp_path: Path
) -> None:
    with HttpsGit(repository.bare.parent, authority, private=False, tls=False) as server:
        assert pod.fetch(pod.job(git={"url": server.url("code.git")})).code == 0
        other, before = Pod(tmp_path / "other"), len(server.requests)
        outcome = fetch(other, server, other.secret("git", {"username": USER, "password": PASSWORD}))
        assert outcome.code == 64
        assert "would send the credentials unencrypted" in outcome.error["message"]
        assert len(server.requests) == before


def test_a_redirect_from_https_to_http_is_not_followed(
    pod: Pod, https: HttpsGit, repository: Repository, authority: Authority, secret: str
) -> None:
    with HttpsGit(repository.bare.parent, authority, private=False, tls=False) as server:
        https.trouble.redirect = server.url("")[:-1]
        outcome = pod.fetch(pod.job(git={"url": https.url("code.git"), "credentials": secret}, retry_seconds=1))
        assert outcome.code == 75, outcome.log
        assert server.requests == []


def test_a_busy_server_is_asked_again(pod: Pod, https: HttpsGit, secret: str) -> None:
    https.trouble.unavailable = 2
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert outcome.log.count("trying again") == 2


def test_a_connection_that_breaks_in_the_middle_is_tried_again(
    pod: Pod, https: HttpsGit, repository: Repository, secret: str
) -> None:
    repository.commit({"big.bin": os.urandom(200_000)})
    https.trouble.cut = 2
    outcome = fetch(pod, https, secret)
    assert outcome.code == 0, outcome.log
    assert https.trouble.cut == 0
    assert len(pod.files()["big.bin"]) == 200_000


def test_a_server_that_stays_away_ends_the_fetch(pod: Pod, https: HttpsGit, secret: str) -> None:
    https.trouble.unavailable = 10_000
    git = {"url": https.url("code.git"), "credentials": secret}
    outcome = pod.fetch(pod.job(git=git, retry_seconds=3))
    assert outcome.code == 75
    assert outcome.error["reason"] == "SourceUnavailable"
    assert outcome.error["retryable"]
    assert "503" in outcome.error["message"]


def test_sigterm_ends_git_and_leaves_nothing(pod: Pod, https: HttpsGit, secret: str) -> None:
    https.trouble.gate.clear()
    process = pod.start(pod.job(git={"url": https.url("code.git"), "credentials": secret}))
    assert https.waiting.wait(60), pod.log
    assert len(family(pod)) >= 3  # the fetch itself, git, and git's https helper
    outcome = pod.end(process)
    assert outcome.code == 143
    assert list(pod.workspace.iterdir()) == []
    assert list(pod.tmp.iterdir()) == []
    assert eventually(lambda: not family(pod), 10), family(pod)  # they were killed; the kernel takes its time


def family(pod: Pod) -> list[str]:
    """Return the processes of a pod, by what is in their arguments and environment."""
    entries = Path("/proc").glob("[0-9]*")
    return [entry.name for entry in entries if str(pod.tmp).encode() in _read(entry / "cmdline", entry / "environ")]


def _read(*paths: Path) -> bytes:
    try:
        return b"".join(path.read_bytes() for path in paths)
    except OSError:
        return b""
