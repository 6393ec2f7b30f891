from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.pki import Authority
from tests.contract.fetch import repositories, system
from tests.contract.fetch.fetching import Pod
from tests.contract.fetch.gitserver import HttpsGit, Sshd
from tests.contract.fetch.minio import Minio
from tests.contract.fetch.repositories import Repository

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.contract)


@pytest.fixture(scope="session")
def installed() -> None:
    system.install()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("pki") / "ca")
    found.create()
    return found


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "pod")


@pytest.fixture
def repository(installed: None, tmp_path: Path) -> Repository:
    (tmp_path / "server").mkdir()
    found = repositories.create(tmp_path / "server", "code.git", tmp_path / "work")
    found.commit({"train.py": "print(1)\n", "models/net.py": "# net\n", "models/deep/a.txt": "a"}, "first")
    return found


@pytest.fixture
def https(repository: Repository, authority: Authority) -> Iterator[HttpsGit]:
    with HttpsGit(repository.bare.parent, authority) as found:
        yield found


@pytest.fixture
def sshd(installed: None, tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as found:
        yield found


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with Minio(tmp_path_factory.mktemp("minio")) as found:
        yield found


@pytest.fixture
def bucket(minio: Minio) -> str:
    return minio.bucket()


@pytest.fixture
def nobody(pod: Pod) -> Pod:
    """A pod whose processes run as a user without a name, as spec.runAsUser makes them."""
    # A namespace of users: the number is foreign inside, and files are ours as before.
    pod.wrapper = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    return pod
