"""The mlflow chart's programs against a real MinIO: the bucket's init container and the proxied artifact repository."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.charts import helm
from tests.support.object_store import START_SECONDS, ObjectStore

pytestmark = pytest.mark.contract

FILES = helm.CHARTS / "mlflow" / "files"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path_factory.mktemp("object-store"))
    store.start()
    try:
        store.wait()
        yield store
    finally:
        store.stop()


def bucket(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FILES / "bucket.py")], env=environment, capture_output=True, text=True, check=False
    )


def test_the_bucket_is_made_once(store: ObjectStore) -> None:
    environment = {**store.environment, "BUCKET": "made-once"}
    first, second = bucket(environment), bucket(environment)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.endswith(": made\n")
    assert second.stdout.endswith(": is there\n")


def test_a_foreign_bucket_is_waited_for_and_never_made(store: ObjectStore) -> None:
    environment = {**store.environment, "BUCKET": "foreign", "CREATE": "false", "WAIT_SECONDS": "0"}
    absent = bucket(environment)
    assert absent.returncode == 1
    assert "No bucket foreign at" in absent.stderr
    assert "create it, or name another" in absent.stderr
    assert bucket({**store.environment, "BUCKET": "foreign"}).returncode == 0
    assert bucket(environment).stdout.endswith(": is there\n")


def test_another_region_is_said_to_the_store(store: ObjectStore) -> None:
    result = bucket({**store.environment, "BUCKET": "elsewhere", "AWS_DEFAULT_REGION": "eu-west-1"})
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"AWS_SECRET_ACCESS_KEY": "no"}, "SignatureDoesNotMatch"), ({"AWS_ACCESS_KEY_ID": "no"}, "InvalidAccessKeyId")],
    ids=["secret", "access"],
)
def test_wrong_keys_end_it_at_once_with_the_remedy(store: ObjectStore, wrong: dict[str, str], code: str) -> None:
    result = bucket({**store.environment, "BUCKET": "never-made", **wrong})
    assert result.returncode == 1
    assert result.stdout == ""
    assert code in result.stderr
    assert "artifacts.existingSecret" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_waits_for_a_store_that_starts_late(tmp_path: Path) -> None:
    late = ObjectStore(tmp_path)
    with subprocess.Popen(
        [sys.executable, str(FILES / "bucket.py")], env=late.environment, stdout=subprocess.PIPE, text=True
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith(f"Waiting for http://127.0.0.1:{late.port}")
        late.start()
        try:
            output, _ = waiting.communicate(timeout=START_SECONDS)
        finally:
            late.stop()
    assert waiting.returncode == 0
    assert output.endswith(": made\n")


def test_it_gives_up_in_time_and_says_why(tmp_path: Path) -> None:
    nobody = ObjectStore(tmp_path)
    result = bucket({**nobody.environment, "WAIT_SECONDS": "0"})
    assert result.returncode == 1
    assert f"No bucket mlflow at http://127.0.0.1:{nobody.port} after 0 s" in result.stderr


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The package as the pod's mounts lay it out."""
    documents = helm.objects("mlflow")
    data = helm.the(documents, "ConfigMap")["data"]
    pod = helm.the(documents, "Deployment")["spec"]["template"]["spec"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "plugins"]
    for item in volume["configMap"]["items"]:
        path = tmp_path / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data[item["key"]])
    return tmp_path


def test_files_pass_through_the_server(store: ObjectStore, plugin: Path, tmp_path: Path) -> None:
    assert bucket(store.environment).returncode == 0
    # In a process of its own: MLflow reads its plugins when it is imported.
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from mlflow.store.artifact.artifact_repo import MultipartDownloadMixin, MultipartUploadMixin
        from mlflow.store.artifact.artifact_repo import PresignedUploadMixin
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        folder = Path(sys.argv[1])
        (folder / "in").mkdir()
        (folder / "in" / "a.txt").write_text("one")
        (folder / "b.txt").write_text("two")
        repository = get_artifact_repository("s3://mlflow/prefix")
        # What the server asks before it advertises presigned URLs.
        assert not isinstance(repository, (MultipartDownloadMixin, MultipartUploadMixin, PresignedUploadMixin))
        repository.log_artifacts(str(folder / "in"), "sub")
        repository.log_artifact(str(folder / "b.txt"))
        assert sorted(f.path for f in repository.list_artifacts()) == ["b.txt", "sub"]
        assert Path(repository.download_artifacts("sub/a.txt")).read_text() == "one"
        assert Path(repository.download_artifacts("b.txt")).read_text() == "two"
        repository.delete_artifacts("sub")
        assert [f.path for f in repository.list_artifacts()] == ["b.txt"]
        print(type(repository).__name__)
    """)
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**store.environment, "PYTHONPATH": str(plugin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ProxiedS3ArtifactRepository\n"
