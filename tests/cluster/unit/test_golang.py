"""Programs are cached under a hash of what they are built from, and never half built."""

import shutil
from pathlib import Path

import pytest

from tests.cluster import golang, paths
from tests.cluster.errors import ClusterError
from tests.cluster.golang import PROGRAMS, Program
from tests.cluster.shell import run

needs_go = pytest.mark.skipif(not golang.available(), reason="there is no `go` on PATH; install Go 1.26")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go module of one's own, with an own cache."""
    if golang.available():  # Go's own cache is below XDG_CACHE_HOME too, and a cold one takes half a minute
        monkeypatch.setenv("GOCACHE", run(["go", "env", "GOCACHE"]).stdout.strip())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "GO_MODULES", tmp_path / "go")
    folder = tmp_path / "go" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.com/hello\n\ngo 1.21\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    monkeypatch.setattr(golang, "PROGRAMS", {"hello": Program("hello", "hello", ".")})
    return folder


def test_hash_follows_what_it_is_built_from(module: Path) -> None:
    program = Program("hello", "hello", ".")
    hashes = {program.hash(), Program("hello", "hello", ".", "-s").hash(), Program("hello", "hello", "./cmd").hash()}
    for name in ("go.mod", "main.go", "go.sum"):
        with (module / name).open("a") as file:
            file.write("// changed\n")
        hashes.add(program.hash())
    assert len(hashes) == 6
    (module / "README.md").write_text("not compiled")
    assert program.hash() in hashes


@needs_go
def test_builds_once_and_links(module: Path) -> None:
    file = golang.ensure(["hello"])["hello"]
    assert run([file]).stderr == "hello\n"
    link = paths.binaries() / "hello"
    assert link.resolve() == file
    built = file.stat().st_mtime_ns
    assert golang.ensure(["hello"])["hello"].stat().st_mtime_ns == built

    (module / "main.go").write_text('package main\n\nfunc main() { println("again") }\n')
    assert run([golang.ensure(["hello"])["hello"]]).stderr == "again\n"
    assert run([link]).stderr == "again\n"


@needs_go
def test_failed_build_leaves_nothing_and_shows_gos_words(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(ClusterError, match="undefined: undefinedName"):
        golang.ensure(["hello"])
    assert list(paths.binaries().iterdir()) == []


def test_no_go_says_what_would_help(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match=r"go is not installed\n  What would help: install Go 1\.26"):
        golang.ensure(["hello"])
    with pytest.raises(ClusterError, match="hello is not installed"):
        golang.find_or_ensure("hello")


def test_without_go_the_program_on_path_is_taken(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tmp_path / "elsewhere" / "hello"
    found.parent.mkdir()
    shutil.copy("/bin/true", found)
    monkeypatch.setenv("PATH", str(found.parent))
    assert golang.find_or_ensure("hello") == found


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_is_pinned(program: Program) -> None:
    assert (program.source / "go.mod").is_file()
    if program.name != "pause":  # which needs no other module
        assert (program.source / "go.sum").is_file()
