import pytest

from runwright.trackingstack.image import split

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("postgres", ("", "postgres", "latest", "")),
        ("postgres:17", ("", "postgres", "17", "")),
        ("runwright/mlflow:3.17.2", ("", "runwright/mlflow", "3.17.2", "")),
        ("quay.io/minio/minio:RELEASE.2025-09-07", ("quay.io", "minio/minio", "RELEASE.2025-09-07", "")),
        ("localhost/a", ("localhost", "a", "latest", "")),
        ("registry:5000/a/b/c:1", ("registry:5000", "a/b/c", "1", "")),
        (f"registry:5000/a@{DIGEST}", ("registry:5000", "a", "", DIGEST)),
        (f"a/b:1@{DIGEST}", ("", "a/b", "1", DIGEST)),
    ],
)
def test_a_reference_is_split_as_a_container_runtime_reads_it(reference: str, expected: tuple[str, ...]) -> None:
    assert tuple(split(reference).values()) == expected
