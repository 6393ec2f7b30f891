"""Datasets from a real MinIO, without a cache."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwright.inpod.fetch import tree
from tests.cluster.pki import Authority
from tests.contract.fetch import system
from tests.contract.fetch.fetching import CLEAN, Outcome, Pod
from tests.contract.fetch.identity import Identity, Listing
from tests.contract.fetch.minio import KEY, SECRET, Minio
from tests.contract.fetch.proxy import Proxy

PART = 64 * 1024


@pytest.fixture
def secret(pod: Pod) -> str:
    return pod.secret("s3", {"accessKey": KEY + "\n", "secretKey": SECRET + "\n"})


@pytest.fixture
def mount(pod: Pod) -> Path:
    return pod.root / "data"


def fetch(pod: Pod, *datasets: dict[str, Any], **more: Any) -> Outcome:
    return pod.fetch(pod.job(datasets=datasets, part_bytes=PART, **more))


def test_a_single_object_in_parts(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    content = os.urandom(10 * PART + 17)
    minio.put(bucket, "set/train.bin", content)
    sha256 = hashlib.sha256(content).hexdigest()
    data = minio.dataset(f"s3://{bucket}/set/train.bin", mount, credentials=secret, sha256=sha256)
    outcome = fetch(pod, data)
    assert outcome.code == 0, outcome.log
    assert pod.files(mount) == {"train.bin": content}
    (told,) = outcome.message["datasets"]
    assert told == {
        "name": "d",
        "digest": sha256,
        "bytes": len(content),
        "files": 1,
        "cached": False,
        "seconds": told["seconds"],
    }
    assert json.loads(pod.result.read_text())["datasets"] == [told]
    assert pod.traces(SECRET) == []


def test_a_prefix_and_the_digest_that_users_compute(
    pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path
) -> None:
    files = {f"c{n % 7}/{n}.txt": str(n).encode() * n for n in range(40)} | {
        "Zoë/ ü.bin": os.urandom(3 * PART),
        "e": b"",
    }
    for name, content in files.items():
        minio.put(bucket, f"images/v1/{name}", content)
    minio.put(bucket, "images/v1/", b"")  # the folder that consoles make
    minio.put(bucket, "images/v10/other.txt", b"not below the prefix")
    copy = pod.root / "copy"
    for name, content in files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    command = [sys.executable, "-m", "runwright.inpod.fetch", "digest", str(copy)]
    told = subprocess.run(command, env=CLEAN, check=True, capture_output=True, text=True).stdout.split()[0]
    for number, uri in enumerate((f"s3://{bucket}/images/v1", f"s3://{bucket}/images/v1/")):
        target = mount / str(number)
        outcome = fetch(pod, minio.dataset(uri, target, credentials=secret, sha256=told))
        assert outcome.code == 0, outcome.log
        assert pod.files(target) == files
        assert sorted(path.name for path in target.iterdir()) == sorted({name.split("/")[0] for name in files})


def test_a_whole_bucket(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    minio.put(bucket, "a/b", b"1")
    minio.put(bucket, "c", b"2")
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}", mount, credentials=secret))
    assert outcome.code == 0, outcome.log
    assert pod.files(mount) == {"a/b": b"1", "c": b"2"}


def test_more_objects_than_one_page_lists(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    client = minio.client
    for number in range(1003):
        client.put_object(Bucket=bucket, Key=f"p/{number}", Body=b"x")
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}/p/", mount, credentials=secret))
    assert outcome.code == 0, outcome.log
    assert len(list(mount.iterdir())) == 1003
    assert len(outcome.log.splitlines()) < 30


def test_progress_says_bytes_percent_and_rate(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    minio.put(bucket, "big", bytes(5 * 2**20))
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}/big", mount, credentials=secret))
    lines = [line for line in outcome.log.splitlines() if " of 5.0 MiB (" in line]
    assert "(100 %)" in lines[-1]
    assert lines[-1].endswith("/s")
    assert 1 <= len(lines) <= 12


def test_several_datasets_and_their_own_credentials(pod: Pod, minio: Minio, secret: str, mount: Path) -> None:
    one, other = minio.bucket({"a": b"1"}), minio.bucket({"b": b"2"})
    wrong = pod.secret("wrong", {"accessKey": KEY, "secretKey": "other-secret"})
    first = minio.dataset(f"s3://{one}/a", mount / "a", credentials=secret)
    second = minio.dataset(f"s3://{other}/b", mount / "b", credentials=wrong)
    outcome = fetch(pod, first, {**second, "name": "e"})
    assert outcome.code == 90
    assert outcome.error["field"] == "spec.datasets[1].credentialsSecretRef"
    assert [one["name"] for one in outcome.message["datasets"]] == ["d"]


def test_aws_names_of_the_keys(pod: Pod, minio: Minio, bucket: str, mount: Path) -> None:
    minio.put(bucket, "a", b"1")
    secret = pod.secret("s3", {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})
    assert fetch(pod, minio.dataset(f"s3://{bucket}/a", mount, credentials=secret)).code == 0


def test_an_anonymous_bucket_and_nothing_of_the_machine(pod: Pod, minio: Minio, bucket: str, mount: Path) -> None:
    minio.put(bucket, "open/a", b"1")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/open/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    minio.client.put_bucket_policy(Bucket=bucket, Policy=policy)
    data = minio.dataset(f"s3://{bucket}/open/a", mount)
    # Whatever the environment says: a wrong key there would be refused.
    ambient = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    outcome = pod.fetch(pod.job(datasets=[data]), AWS_PROFILE="nobody", **ambient)
    assert outcome.code == 0, outcome.log
    denied = fetch(pod, minio.dataset(f"s3://{bucket}/closed", mount))
    assert denied.code in {90, 91}
    assert "anonymous access" in denied.error["message"] or "may not list" in denied.error["message"]


def test_the_pods_own_identity(pod: Pod, minio: Minio, bucket: str, mount: Path) -> None:
    """EKS Pod Identity gives pods a URL that answers with keys; here it is a small server."""
    minio.put(bucket, "a", b"1")
    with Identity(KEY, SECRET) as identity:
        data = minio.dataset(f"s3://{bucket}/a", mount)
        outcome = pod.fetch(pod.job(datasets=[data]), AWS_CONTAINER_CREDENTIALS_FULL_URI=identity.url)
    assert outcome.code == 0, outcome.log
    assert pod.files(mount) == {"a": b"1"}


@pytest.fixture
def tls(tmp_path: Path, authority: Authority) -> Iterator[Minio]:
    authority.issue("minio", "localhost", alternative_names="DNS:localhost,IP:127.0.0.1")
    (tmp_path / "tls").mkdir()
    with Minio(tmp_path / "tls", certificate=(authority.cert("minio"), authority.key("minio"))) as found:
        yield found


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_private_authority(pod: Pod, tls: Minio, authority: Authority, mount: Path) -> None:
    bucket = tls.bucket({"a": b"1"})
    keys = {"accessKey": KEY, "secretKey": SECRET}
    data = tls.dataset(f"s3://{bucket}/a", mount, credentials=pod.secret("s3", keys))
    outcome = fetch(pod, data)
    assert outcome.code == 76, outcome.log
    assert outcome.error["field"] == "spec.datasets[0].endpoint"
    assert fetch(pod, data, ca_bundle=str(authority.cert("ca"))).code == 0
    secret = pod.secret("with-ca", {**keys, "ca.crt": authority.cert("ca").read_text()})
    assert fetch(pod, {**data, "credentials": secret}).code == 0


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("single", [True, False])
def test_a_wrong_digest(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path, single: bool) -> None:
    minio.put(bucket, "x/a", b"other data")
    uri = f"s3://{bucket}/x/a" if single else f"s3://{bucket}/x"
    outcome = fetch(pod, minio.dataset(uri, mount, credentials=secret, sha256="0" * 64))
    assert outcome.code == 92
    assert outcome.error["reason"] == "DatasetMismatch"
    assert outcome.error["field"] == "spec.datasets[0].sha256"
    found = hashlib.sha256(b"other data").hexdigest()
    digest = found if single else tree.tree_digest([tree.FileDigest("a", 10, found)])
    assert digest in outcome.error["message"]
    assert not outcome.error["retryable"]


@pytest.mark.parametrize("key", ["", "none", "none/"])
def test_nothing_there(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path, key: str) -> None:
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}/{key}", mount, credentials=secret))
    assert outcome.code == 91, outcome.log
    assert outcome.error["reason"] == "DatasetNotFound"


def test_no_such_bucket(pod: Pod, minio: Minio, secret: str, mount: Path) -> None:
    outcome = fetch(pod, minio.dataset("s3://no-such-bucket/a", mount, credentials=secret))
    assert outcome.code == 91, outcome.log


@pytest.mark.parametrize("uri", ["http://x/y", "s3:/x", "s3://", "s3://UPPER BLANK/x"])
def test_malformed_uri(pod: Pod, minio: Minio, secret: str, mount: Path, uri: str) -> None:
    outcome = fetch(pod, minio.dataset(uri, mount, credentials=secret))
    assert outcome.code == 64
    assert outcome.error["field"] == "spec.datasets[0].uri"


def test_malformed_endpoint(pod: Pod, minio: Minio, secret: str, mount: Path) -> None:
    outcome = fetch(pod, {**minio.dataset("s3://bucket/x", mount, credentials=secret), "endpoint": "minio:9000"})
    assert outcome.code == 64
    assert outcome.error["field"] == "spec.datasets[0].endpoint"


def test_a_secret_without_keys(pod: Pod, minio: Minio, mount: Path) -> None:
    outcome = fetch(pod, minio.dataset("s3://bucket/x", mount, credentials=pod.secret("empty", {"accessKey": "x"})))
    assert outcome.code == 78
    assert "no key secretKey or AWS_SECRET_ACCESS_KEY" in outcome.error["message"]


def test_what_answers_is_no_s3(pod: Pod, minio: Minio, secret: str, mount: Path) -> None:
    """Botocore takes an answer without sense for an error of the service, so it is asked again for a while."""
    with Identity(KEY, SECRET) as other:
        endpoint = other.url.removesuffix("/keys")
        data = {**minio.dataset("s3://bucket/x/", mount, credentials=secret), "endpoint": endpoint}
        outcome = fetch(pod, data, retry_seconds=1)
    assert outcome.code == 75, outcome.log


@pytest.mark.parametrize("keys", [("d/a", "d/a/b"), ("d/a//b",), ("d/x/../y",), ("d/./y",), ("d//etc/passwd",)])
def test_keys_that_can_not_be_files(pod: Pod, minio: Minio, keys: tuple[str, ...]) -> None:
    """MinIO keeps keys as files itself and takes none of these, so a small server lists them."""
    target = pod.root / "target"
    with Listing(keys) as server:
        data = {"name": "d", "uri": "s3://bucket/d/", "endpoint": server.url, "mount_path": str(target)}
        outcome = fetch(pod, data)
    assert outcome.code == 93, outcome.log
    assert outcome.error["reason"] == "DatasetKeyUnsafe"
    assert pod.files(target) == {}


def test_connections_that_break_in_the_middle_of_parts(
    pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path
) -> None:
    content = os.urandom(40 * PART)
    minio.put(bucket, "big", content)
    with Proxy(minio.port, cut_after=PART // 2, cuts=12) as proxy:
        data = minio.dataset(f"s3://{bucket}/big", mount, credentials=secret)
        outcome = fetch(pod, {**data, "endpoint": proxy.endpoint, "sha256": hashlib.sha256(content).hexdigest()})
        assert outcome.code == 0, outcome.log
        assert proxy.cuts == 0
    assert pod.files(mount)["big"] == content


def test_a_part_goes_on_from_the_byte_it_broke_off_at(
    pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path
) -> None:
    content = os.urandom(6 * 2**20)
    minio.put(bucket, "big", content)
    with Proxy(minio.port, cut_after=2**19, cuts=8) as proxy:
        data = {**minio.dataset(f"s3://{bucket}/big", mount, credentials=secret), "endpoint": proxy.endpoint}
        outcome = pod.fetch(pod.job(datasets=[data]))  # one part
        assert outcome.code == 0, outcome.log
        assert proxy.cuts == 0
        assert proxy.passed < 1.2 * len(content)  # from the start each time would be 1.7
    assert pod.files(mount)["big"] == content


def test_a_service_that_stays_away(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    data = {**minio.dataset(f"s3://{bucket}/x", mount, credentials=secret), "endpoint": "http://127.0.0.1:1"}
    outcome = fetch(pod, data, retry_seconds=2)
    assert outcome.code == 75, outcome.log
    assert outcome.error["retryable"]
    assert outcome.error["field"] == "spec.datasets[0].uri"


def test_an_object_that_changes_while_it_is_read(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    before, after = os.urandom(60 * PART), os.urandom(60 * PART)
    minio.put(bucket, "big", before)
    with Proxy(minio.port, hold_after=10 * PART) as proxy:
        data = {**minio.dataset(f"s3://{bucket}/big", mount, credentials=secret), "endpoint": proxy.endpoint}
        process = pod.start(pod.job(datasets=[data], part_bytes=PART, parallelism=2))
        assert proxy.held.wait(60), pod.log
        minio.put(bucket, "big", after)
        proxy.gate.set()
        outcome = pod.outcome(process)
    assert outcome.code == 0, outcome.log
    assert "round 1 of 3" in outcome.log
    assert pod.files(mount)["big"] == after
    assert outcome.message["datasets"][0]["digest"] == hashlib.sha256(after).hexdigest()


def test_an_object_that_always_changes(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    minio.put(bucket, "big", os.urandom(20 * PART))
    with Proxy(minio.port, hold_after=5 * PART) as proxy:
        data = {**minio.dataset(f"s3://{bucket}/big", mount, credentials=secret), "endpoint": proxy.endpoint}
        process = pod.start(pod.job(datasets=[data], part_bytes=PART, parallelism=2))
        for _ in range(3):
            assert proxy.held.wait(60), pod.log
            minio.put(bucket, "big", os.urandom(20 * PART))
            proxy.hold_after = proxy.passed + 5 * PART
            proxy.held.clear()
            proxy.gate.set()
            proxy.gate.clear()
        proxy.gate.set()
        outcome = pod.outcome(process)
    assert outcome.code == 77, outcome.log
    assert outcome.error["reason"] == "DatasetChanged"
    assert outcome.error["retryable"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not system.is_root():
        pytest.skip("needs root to mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_said_before_the_download(
    pod: Pod, minio: Minio, bucket: str, secret: str, small_disk: Path
) -> None:
    minio.put(bucket, "big", os.urandom(4 * 2**20))
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}/big", small_disk, credentials=secret))
    assert outcome.code == 74, outcome.log
    assert outcome.error["reason"] == "DiskFull"
    assert "4.0 MiB are needed" in outcome.error["message"]
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_becomes_full(pod: Pod, minio: Minio, bucket: str, secret: str, small_disk: Path) -> None:
    minio.put(bucket, "big", os.urandom(3 * 2**19))
    with Proxy(minio.port, hold_after=4 * PART) as proxy:
        data = {**minio.dataset(f"s3://{bucket}/big", small_disk, credentials=secret), "endpoint": proxy.endpoint}
        process = pod.start(pod.job(datasets=[data], part_bytes=PART, parallelism=1))
        assert proxy.held.wait(60), pod.log
        (small_disk / "other").write_bytes(bytes(2**20))
        proxy.gate.set()
        outcome = pod.outcome(process)
    assert outcome.code == 74, outcome.log
    assert "no room left" in outcome.error["message"]
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_folder_that_can_not_be_written(pod: Pod, minio: Minio, bucket: str, secret: str) -> None:
    minio.put(bucket, "a", b"1")
    outcome = fetch(pod, minio.dataset(f"s3://{bucket}/a", Path("/proc/nowhere"), credentials=secret))
    assert outcome.code == 70
    assert outcome.error["field"] == "spec.datasets[0].mountPath"


def test_sigterm(pod: Pod, minio: Minio, bucket: str, secret: str, mount: Path) -> None:
    minio.put(bucket, "big", os.urandom(20 * PART))
    with Proxy(minio.port, hold_after=5 * PART) as proxy:
        data = {**minio.dataset(f"s3://{bucket}/big", mount, credentials=secret), "endpoint": proxy.endpoint}
        process = pod.start(pod.job(datasets=[data], part_bytes=PART))
        assert proxy.held.wait(60), pod.log
        outcome = pod.end(process)
    assert outcome.code == 143
    assert "ended by SIGTERM" in outcome.log


@pytest.mark.parametrize(
    ("text", "field"),
    [("{", "job"), ('{"datasets": [{"name": "x"}]}', "job.datasets[0].uri"), ('{"gti": {}}', "job.gti")],
)
def test_a_malformed_job(pod: Pod, text: str, field: str) -> None:
    outcome = pod.fetch(text)
    assert outcome.code == 64
    assert f"InvalidFetchJob: {field}:" in outcome.log
