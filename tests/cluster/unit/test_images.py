"""An image is built again exactly when something that it is built from changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.images import IMAGES, Image, copied

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS build
COPY --chown=1:1 pyproject.toml \\
     uv.lock ./
ADD src ./src
FROM ${BASE}
COPY --from=build /opt /opt
"""
IMAGE = Image("runwright/thing:1", "thing", ".")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    (tmp_path / "images/thing").mkdir(parents=True)
    (tmp_path / "images/thing/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "src/deep/__pycache__").mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock", "src/a.py", "src/deep/b.py", "README.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_copied_sources() -> None:
    assert copied(DOCKERFILE) == ["pyproject.toml", "uv.lock", "src"]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "uv.lock", "src/a.py", "src/deep/b.py", "src/new.py", "images/thing/Dockerfile"]
)
def test_hash_follows_each_input(repository: Path, name: str) -> None:
    before = IMAGE.hash("base", {})
    assert IMAGE.hash("base", {}) == before
    file = repository / name
    file.write_text((file.read_text() if file.exists() else "") + "# changed\n")
    assert IMAGE.hash("base", {}) != before


@pytest.mark.parametrize("name", ["README.md", "src/deep/__pycache__/b.pyc", "other.py"])
def test_hash_ignores_what_is_not_copied(repository: Path, name: str) -> None:
    before = IMAGE.hash("base", {})
    (repository / name).write_text("changed")
    assert IMAGE.hash("base", {}) == before


def test_hash_follows_the_programs_that_are_given(repository: Path) -> None:
    images = [IMAGE]
    for name in ("helm", "minio"):
        images += [replace(IMAGE, programs=(name,)), replace(IMAGE, bare_images={"X": name})]
    assert len({image.hash("base", {}) for image in images}) == 3


def test_hash_follows_base_arguments_and_mode(repository: Path) -> None:
    before = IMAGE.hash("base", {})
    assert IMAGE.hash("another base", {}) != before
    assert IMAGE.hash("base", {"TORCH": "debian"}) != before
    (repository / "src/a.py").chmod(0o755)
    assert IMAGE.hash("base", {}) != before


def test_missing_source_is_named(repository: Path) -> None:
    (repository / "uv.lock").unlink()
    with pytest.raises(ClusterError, match=r"runwright/thing:1 copies uv\.lock"):
        IMAGE.hash("base", {})


def test_missing_dockerfile_is_named(repository: Path) -> None:
    (repository / "images/thing/Dockerfile").unlink()
    with pytest.raises(ClusterError, match="runwright/thing:1 has no Dockerfile"):
        IMAGE.hash("base", {})


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_every_image_of_the_project_can_be_hashed(image: Image) -> None:
    assert image.hash("base", image.bare_arguments) == image.hash("base", image.bare_arguments)
    assert image.reference.startswith("docker.io/runwright/")
