"""Which keys become paths, and the digest of a tree."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.fetch.tree import (
    FileDigest,
    UnsafePathError,
    check_tree,
    digest,
    listing,
    parse_listing,
    safe_path,
    tree_digest,
    walk,
)

PART = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda part: part not in {".", ".."}
)
PATHS = st.lists(PART, min_size=1, max_size=4).map("/".join)
SHA = st.binary(max_size=3).map(lambda content: hashlib.sha256(content).hexdigest())
FILES = st.lists(st.builds(FileDigest, PATHS, st.integers(0, 2**70), SHA), unique_by=lambda file: file.path)
ODD = st.one_of(PATHS, st.text(st.sampled_from("a./\0"), max_size=12), st.text(max_size=300))


@given(ODD)
def test_a_safe_path_stays_below_its_root_and_names_one_file(text: str) -> None:
    try:
        path = safe_path(text)
    except UnsafePathError:
        return
    root = Path("/root/of/all")
    assert path == text
    assert (root / path).is_relative_to(root)
    assert ".." not in Path(path).parts
    assert str((root / path).relative_to(root)) == path  # no two keys mean the same file
    assert "\0" not in path


@given(PATHS)
def test_ordinary_names_are_safe(path: str) -> None:
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "text",
    ["", "/", "/etc/passwd", "..", ".", "a/../b", "a/..", "../a", "a//b", "a/", "./a", "a/.", "a\0b", "\ud800",
     "x" * 256, "ü" * 128, "/".join(["y" * 200] * 18)],
)  # fmt: skip
def test_unsafe_paths(text: str) -> None:
    with pytest.raises(UnsafePathError):
        safe_path(text)


def test_the_longest_part_that_file_systems_take() -> None:
    assert safe_path("ü" * 127 + "x")


@given(st.lists(st.sampled_from(["a", "a/b", "a/b/c", "a!", "a!/x", "b", "a/bc", "ab"]), max_size=5))
def test_files_that_are_folders_of_others_are_refused(paths: list[str]) -> None:
    clash = len(set(paths)) < len(paths) or any(other.startswith(f"{one}/") for one in paths for other in paths)
    if clash:
        with pytest.raises(UnsafePathError):
            check_tree(paths)
    else:
        check_tree(paths)


@given(FILES)
def test_a_listing_reads_back(files: list[FileDigest]) -> None:
    assert set(parse_listing(listing(files))) == set(files)


@given(FILES, st.randoms())
def test_the_order_of_files_does_not_matter(files: list[FileDigest], random: Any) -> None:
    other = list(files)
    random.shuffle(other)
    assert tree_digest(files) == tree_digest(other)


@given(FILES, FILES)
def test_different_trees_have_different_listings(one: list[FileDigest], other: list[FileDigest]) -> None:
    assert (listing(one) == listing(other)) == (set(one) == set(other))


@pytest.mark.parametrize("raw", [b"", b"other\n", b"runwright-tree-v1\nx", b"runwright-tree-v1\na\0b\0c\n"])
def test_what_is_no_listing_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a listing|not found|invalid literal"):
        parse_listing(raw)


def test_the_definition_in_the_guide(tmp_path: Path) -> None:
    """Computed with printf and sha256sum, so that no change of the code changes what is written in users' manifests."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes(b"world")
    (tmp_path / "Z.txt").write_bytes(b"hello")
    (tmp_path / "empty").mkdir()
    assert digest(tmp_path) == "becf788b90f8fd556055047891c5e5802fdda626b4f4329b981181407cc7c1bf"
    assert digest(tmp_path / "Z.txt") == hashlib.sha256(b"hello").hexdigest()


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "ü", "Z"]), min_size=1, max_size=3).map("/".join), st.binary(max_size=9)
    )
)
def test_the_digest_of_a_folder_is_that_of_its_objects(content: dict[str, bytes]) -> None:
    try:
        check_tree(content)
    except UnsafePathError:
        return
    with tempfile.TemporaryDirectory() as folder:
        for path, data in content.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        expected = [FileDigest(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in content.items()]
        assert digest(Path(folder)) == tree_digest(expected)


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(UnsafePathError, match="'link' is neither file nor folder"):
        walk(tmp_path)
