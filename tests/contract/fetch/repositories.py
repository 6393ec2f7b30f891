"""Git repositories to fetch from."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import run

_AUTHOR = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d" * 32 + "\nsize 12345678\n"


@dataclass(frozen=True)
class Repository:
    """A bare repository, and a clone of it to write with."""

    bare: Path
    work: Path

    @property
    def name(self) -> str:
        return self.bare.name

    def git(self, *arguments: str) -> str:
        return run(["git", "-C", self.work, *arguments], env=_AUTHOR).stdout.strip()

    def commit(self, files: dict[str, str | bytes], message: str = "more") -> str:
        """Commit files and push all; returns the commit."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.push()
        return self.git("rev-parse", "HEAD")

    def push(self) -> None:
        self.git("push", "-q", "--force", "--all", "origin")
        self.git("push", "-q", "--force", "--tags", "origin")

    def configure(self, name: str, value: str) -> None:
        run(["git", f"--git-dir={self.bare}", "config", name, value])


def create(root: Path, name: str, work: Path, *formats: str) -> Repository:
    """Make an empty repository below a server's root."""
    found = Repository(root / name, work / name)
    run(["git", "init", "-q", "--bare", "-b", "main", *formats, found.bare])
    run(["git", "init", "-q", "-b", "main", *formats, found.work])
    found.git("remote", "add", "origin", str(found.bare))
    return found
