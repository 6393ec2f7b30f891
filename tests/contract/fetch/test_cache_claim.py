"""Datasets in a cache claim, from a real MinIO: shared, killed, taken over, damaged."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwright.inpod.fetch.cache import CONTENT, FOLDER
from runwright.inpod.fetch.tree import FileDigest, tree_digest
from tests.contract.fetch import system
from tests.contract.fetch.fetching import Outcome, Pod
from tests.contract.fetch.minio import KEY, SECRET, Minio
from tests.contract.fetch.proxy import Proxy

PART = 64 * 1024


class Claim:
    """A volume that pods share."""

    def __init__(self, root: Path, minio: Minio) -> None:
        self._root = root
        self._minio = minio
        self.path = root / "claim"
        self.path.mkdir()
        self._pods = 0

    def pod(self) -> Pod:
        self._pods += 1
        return Pod(self._root / f"pod-{self._pods}")

    def mount(self, pod: Pod) -> Path:
        return pod.root / "data"

    def job(self, pod: Pod, uri: str, **more: Any) -> Any:
        run = {name: more.pop(name) for name in ("run", "attempt", "parallelism") if name in more}
        secret = pod.root / "secrets" / "s3"
        if not secret.exists():
            pod.secret("s3", {"accessKey": KEY, "secretKey": SECRET})
        data = self._minio.dataset(uri, self.mount(pod), credentials=str(secret), cache_path=str(self.path), **more)
        data |= {"endpoint": more.get("endpoint", self._minio.endpoint)}
        return pod.job(datasets=[data], part_bytes=PART, **run)

    def fetch(self, uri: str, **more: Any) -> tuple[Outcome, dict[str, bytes]]:
        pod = self.pod()
        outcome = pod.fetch(self.job(pod, uri, **more))
        return outcome, dict(pod.files(self.mount(pod)))

    def contents(self) -> list[Path]:
        return sorted((self.path / FOLDER).glob(f"*/{CONTENT}"))

    def leftovers(self) -> list[str]:
        return [one.name for one in (self.path / FOLDER).glob("*/*") if one.name != CONTENT]


@pytest.fixture
def claim(tmp_path: Path, minio: Minio) -> Claim:
    return Claim(tmp_path, minio)


@pytest.fixture
def files() -> dict[str, bytes]:
    return {f"d{n % 3}/{n}.bin": os.urandom(PART + n) for n in range(24)}


@pytest.fixture
def uri(minio: Minio, files: dict[str, bytes]) -> str:
    return f"s3://{minio.bucket({f'v1/{name}': content for name, content in files.items()})}/v1"


def test_the_second_run_downloads_nothing(claim: Claim, uri: str, files: dict[str, bytes], minio: Minio) -> None:
    first, found = claim.fetch(uri)
    assert first.code == 0, first.log
    assert found == files
    assert first.message["datasets"][0]["cached"] is False
    with Proxy(minio.port) as proxy:
        # Without a digest the list is asked for, and tells that it is the same data.
        second, found = claim.fetch(uri, endpoint=minio.endpoint)
        assert found == files
        assert second.message["datasets"][0]["cached"] is True
        assert second.message["datasets"][0]["digest"] == first.message["datasets"][0]["digest"]
        assert proxy.passed == 0
    assert claim.leftovers() == []
    assert len(claim.contents()) == 1


def test_with_a_digest_the_service_is_not_even_asked(claim: Claim, uri: str, files: dict[str, bytes]) -> None:
    digest = claim.fetch(uri)[0].message["datasets"][0]["digest"]
    assert claim.fetch(uri, sha256=digest)[0].code == 0
    outcome, found = claim.fetch(uri, sha256=digest, endpoint="http://127.0.0.1:1")
    assert outcome.code == 0, outcome.log
    assert found == files


def test_folders_are_folders_and_files_are_links(claim: Claim, uri: str, files: dict[str, bytes]) -> None:
    pod = claim.pod()
    assert pod.fetch(claim.job(pod, uri)).code == 0
    walked = [Path(folder, name) for folder, _, names in os.walk(claim.mount(pod)) for name in names]
    assert sorted(str(path.relative_to(claim.mount(pod))) for path in walked) == sorted(files)
    assert all(path.is_symlink() and path.resolve().is_relative_to(claim.path) for path in walked)


def test_a_single_object_keeps_its_name_whoever_was_first(claim: Claim, minio: Minio) -> None:
    bucket = minio.bucket({"a.csv": b"same", "b.csv": b"same"})
    digest = hashlib.sha256(b"same").hexdigest()
    for name in ("a.csv", "b.csv"):
        outcome, found = claim.fetch(f"s3://{bucket}/{name}", sha256=digest)
        assert outcome.code == 0, outcome.log
        assert found == {name: b"same"}


def test_changed_data_is_other_data(claim: Claim, uri: str, files: dict[str, bytes], minio: Minio) -> None:
    assert claim.fetch(uri)[0].code == 0
    bucket = uri.split("/")[2]
    minio.put(bucket, "v1/d0/0.bin", b"new")
    outcome, found = claim.fetch(uri)
    assert outcome.message["datasets"][0]["cached"] is False
    assert found == {**files, "d0/0.bin": b"new"}
    assert len(claim.contents()) == 2


def test_a_mismatch_leaves_nothing_behind(claim: Claim, uri: str) -> None:
    outcome, found = claim.fetch(uri, sha256="0" * 64)
    assert outcome.code == 92
    assert found == {}
    assert claim.contents() == []
    assert claim.leftovers() == []


def test_several_pods_at_once_download_once(claim: Claim, uri: str, files: dict[str, bytes]) -> None:
    pods = [claim.pod() for _ in range(4)]
    processes = [pod.start(claim.job(pod, uri)) for pod in pods]
    outcomes = [pod.outcome(process) for pod, process in zip(pods, processes, strict=True)]
    assert [one.code for one in outcomes] == [0] * 4, outcomes
    assert [pod.files(claim.mount(pod)) for pod in pods] == [files] * 4
    assert sorted(one.message["datasets"][0]["cached"] for one in outcomes) == [False, True, True, True]
    assert claim.leftovers() == []


def killed(claim: Claim, proxy: Proxy, uri: str, **more: Any) -> None:
    """Kill attempt 1 where the proxy holds it up; then nothing is held up any more."""
    pod = claim.pod()
    process = pod.start(claim.job(pod, uri, endpoint=proxy.endpoint, run="uid-1", attempt=1, parallelism=2, **more))
    try:
        assert proxy.held.wait(60), pod.log
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    proxy.release()


@pytest.mark.parametrize("with_digest", [False, True])
@pytest.mark.parametrize("parts", [1, 7, 16])
def test_killed_under_way_the_next_attempt_goes_on(
    claim: Claim, uri: str, files: dict[str, bytes], minio: Minio, parts: int, with_digest: bool
) -> None:
    sha256 = tree_digest(
        FileDigest(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()
    )
    more = {"sha256": sha256} if with_digest else {}
    with Proxy(minio.port, hold_after=parts * PART) as proxy:
        killed(claim, proxy, uri, **more)
        assert claim.contents() == []
        assert "lock" in claim.leftovers()
        # The same run's earlier attempt is gone for sure: nothing is waited for.
        outcome, found = claim.fetch(uri, endpoint=proxy.endpoint, run="uid-1", attempt=2, **more)
        assert outcome.code == 0, outcome.log
        assert found == files
        if parts == 16:
            assert "files are there already" in outcome.log
            assert proxy.passed < 0.9 * sum(map(len, files.values()))
    assert outcome.message["datasets"][0]["digest"] == sha256
    assert "taking over" in outcome.log
    assert "waiting for another pod" not in outcome.log
    assert claim.leftovers() == []


def test_the_data_changed_between_a_kill_and_the_next_attempt(
    claim: Claim, uri: str, files: dict[str, bytes], minio: Minio
) -> None:
    """The digest of the spec is that of the new data: what the killed attempt left must not get into it."""
    changed = {name: os.urandom(len(content)) for name, content in files.items()}
    sha256 = tree_digest(
        FileDigest(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in changed.items()
    )
    with Proxy(minio.port, hold_after=16 * PART) as proxy:
        killed(claim, proxy, uri, sha256=sha256)
        for name, content in changed.items():
            minio.put(uri.split("/")[2], f"v1/{name}", content)
        outcome, found = claim.fetch(uri, endpoint=proxy.endpoint, run="uid-1", attempt=2, sha256=sha256)
    assert outcome.code == 0, outcome.log
    assert found == changed
    assert claim.leftovers() == []


def test_sigterm_releases_the_lock(claim: Claim, uri: str, files: dict[str, bytes], minio: Minio) -> None:
    pod = claim.pod()
    with Proxy(minio.port, hold_after=7 * PART) as proxy:
        process = pod.start(claim.job(pod, uri, endpoint=proxy.endpoint, parallelism=2))
        assert proxy.held.wait(60), pod.log
        assert pod.end(process).code == 143
    assert "lock" not in claim.leftovers()
    outcome, found = claim.fetch(uri)  # of another run: there is nothing to wait for
    assert outcome.code == 0
    assert found == files
    assert "taking over" not in outcome.log


@pytest.mark.parametrize("damage", ["cut", "missing", "listing", "marker"])
def test_a_damaged_copy_is_fetched_again(claim: Claim, uri: str, files: dict[str, bytes], damage: str) -> None:
    digest = claim.fetch(uri)[0].message["datasets"][0]["digest"]
    (content,) = claim.contents()
    match damage:
        case "cut":
            os.truncate(content / "tree/d0/0.bin", 5)
        case "missing":
            (content / "tree/d0/0.bin").unlink()
        case "listing":
            (content / "listing").write_bytes((content / "listing").read_bytes()[:-100])
        case _:
            (content / "complete.json").write_text("")
    outcome, found = claim.fetch(uri)
    assert outcome.code == 0, outcome.log
    assert found == files
    assert outcome.message["datasets"][0] | {"seconds": 0} == {
        "name": "d",
        "digest": digest,
        "bytes": sum(map(len, files.values())),
        "files": len(files),
        "cached": False,
        "seconds": 0,
    }
    assert "is damaged" in outcome.log
    assert claim.leftovers() == []


@pytest.fixture
def small_claim(claim: Claim) -> Iterator[Claim]:
    if not system.is_root():
        pytest.skip("needs root to mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(claim.path)], check=True)
    yield claim
    subprocess.run(["umount", str(claim.path)], check=True)


def test_a_claim_that_is_too_small(small_claim: Claim, uri: str) -> None:
    outcome, _ = small_claim.fetch(uri)
    assert outcome.code == 74, outcome.log
    assert outcome.error["field"] == "spec.datasets[0].cache.claimName"
    assert "use a larger claim, or remove what nobody uses" in outcome.error["message"]
    assert small_claim.contents() == []
