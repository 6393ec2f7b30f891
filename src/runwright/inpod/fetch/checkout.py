"""A commit's files without its repository: written beside the workspace, then moved into it."""

import errno
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.gitrun import Git
from runwright.inpod.fetch.giturl import PATH_FIELD
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError

log = logging.getLogger(__name__)

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/v1"
LFS_POINTER_MAX_BYTES: Final = 1024
"""Pointer files are smaller (git-lfs, docs/spec.md)."""
NAMED: Final = 3
"""How many files a warning names."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """What lies in the workspace.

    Attributes:
        files: Number of files.
        size: Their bytes.
        lfs_pointers: Files that are Git LFS pointers, not the content.
        submodules: Folders that are submodules, hence empty.
    """

    files: int
    size: int
    lfs_pointers: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, a line each."""
        found = []
        if self.lfs_pointers:
            found.append(
                f"{len(self.lfs_pointers)} files are Git LFS pointers, not their content ({_some(self.lfs_pointers)}); "
                "LFS is not fetched: use spec.datasets for large files"
            )
        if self.submodules:
            found.append(f"submodules are not fetched: {_some(self.submodules)}")
        return tuple(found)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def check_out(git: Git, repository: Path, target: Path, commit: str, folder: str) -> Checkout:
    """Write the files of a folder of a commit.

    Raises:
        FetchError: The commit has no such folder.
    """
    at = f"--git-dir={repository}"
    tree = f"{commit}:{folder}"
    try:
        kind = git.run(at, "cat-file", "-t", tree).strip()
    except (TroubleError, FetchError):
        raise FetchError(Reason.GIT_PATH, PATH_FIELD, f"commit {commit[:12]} has no {folder!r}", "correct it") from None
    if kind != "tree":
        remedy = "name the folder that holds it, and the file in command"
        raise FetchError(Reason.GIT_PATH, PATH_FIELD, f"{folder!r} is a file", remedy)
    target.mkdir(parents=True)
    environment = {"GIT_INDEX_FILE": str(target.parent / "index"), "GIT_WORK_TREE": str(target)}
    git.run(at, "read-tree", tree, environment=environment)
    git.run(at, "checkout-index", "--all", "--force", "--quiet", environment=environment)
    found = _survey(git, at, tree, target)
    for warning in found.warnings:
        log.warning("git: %s", warning)
    return found


def _survey(git: Git, at: str, tree: str, target: Path) -> Checkout:
    files, total = 0, 0
    pointers: list[str] = []
    submodules: list[str] = []
    for line in git.run(at, "ls-tree", "-r", "-l", "-z", tree).split("\0"):
        if not line:
            continue
        meta, _, path = line.partition("\t")
        mode, _, _, size = meta.split()
        if mode == "160000":
            submodules.append(path)
            continue
        files += 1
        total += int(size)
        if mode.startswith("100") and len(LFS_POINTER) < int(size) < LFS_POINTER_MAX_BYTES:
            with (target / path).open("rb") as file:
                if file.read(len(LFS_POINTER)) == LFS_POINTER:
                    pointers.append(path)
    return Checkout(files, total, tuple(pointers), tuple(submodules))


def move_into(source: Path, target: Path) -> None:
    """Move everything below `source` into `target`, over what is there; nothing else in `target` is touched.

    Volumes mounted inside `target` are filled, not replaced.

    Raises:
        FetchError: A folder of one is a file of the other.
    """
    with os.scandir(source) as entries:
        ordered = sorted(entries, key=lambda one: one.name)
    for entry in ordered:
        there = target / entry.name
        if entry.is_dir(follow_symlinks=False) and there.is_dir() and not there.is_symlink():
            move_into(Path(entry.path), there)
            continue
        try:
            os.replace(entry.path, there)  # noqa: PTH105  # entry.path is a string
        except IsADirectoryError:
            message = f"{there} is a folder here, and a file in the repository"
            raise FetchError(Reason.GIT_PATH, PATH_FIELD, message, "mount volumes elsewhere") from None
        except NotADirectoryError:
            message = f"{there} is a file here, and a folder in the repository"
            raise FetchError(Reason.GIT_PATH, PATH_FIELD, message, "mount files elsewhere") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.move(entry.path, there)
