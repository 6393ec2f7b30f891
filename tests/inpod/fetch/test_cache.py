"""The cache entry: killed anywhere, shared, robbed of its lock."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runwright.inpod.fetch.cache import CONTENT, FOLDER, TREE, Complete, Entry, Workplace, link, plan_of
from runwright.inpod.fetch.lock import Owner, Timing, locked
from runwright.inpod.fetch.tree import FileDigest
from tests.inpod.fetch.killed import FILES, KEY, QUICK, SIZES, check, digests, fill, obtain

PLAN = plan_of([("p", 1, "e")])


def test_killed_before_any_operation_on_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.inpod.fetch.killed", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 40  # operations, each of which one child did not come to


def test_a_filler_that_was_robbed_finds_its_paths_gone_and_takes_the_others_copy(tmp_path: Path) -> None:
    """A pod that hangs longer than a lock lives, and goes on afterwards."""
    begun, go_on = threading.Event(), threading.Event()
    results: list[Complete] = []

    def slow(work: Workplace) -> Complete:
        begun.set()
        assert go_on.wait(60)
        return fill(work)

    def first() -> None:
        entry = Entry(tmp_path, KEY, Owner(), Timing(touch=60, stale=60, look=0.01))
        results.append(entry.obtain("d", PLAN, SIZES, slow))

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    second = Entry(tmp_path, KEY, Owner(), QUICK).obtain("d", PLAN, SIZES, fill)
    check(second)
    go_on.set()
    thread.join(60)
    (one,) = results
    check(one)
    assert one.tree == second.tree
    assert [path.name for path in (tmp_path / FOLDER / KEY).iterdir()] == [CONTENT]


def test_who_is_second_to_publish_keeps_the_copy_of_the_first(tmp_path: Path) -> None:
    one, other = (Entry(tmp_path, KEY, Owner(), QUICK) for _ in range(2))
    (tmp_path / FOLDER / KEY).mkdir(parents=True)
    work = one._workplace(PLAN, SIZES)
    done = fill(work)
    copy = work.folder.with_name("copy")
    shutil.copytree(work.folder, copy)
    other._publish(copy, done)
    there = (tmp_path / FOLDER / KEY / CONTENT).stat().st_ino
    one._publish(work.folder, done)
    assert [path.name for path in (tmp_path / FOLDER / KEY).iterdir()] == [CONTENT]
    assert (tmp_path / FOLDER / KEY / CONTENT).stat().st_ino == there
    found = one.find()
    assert found is not None
    check(found)


def test_the_lock_of_a_living_holder_is_respected(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []
    timing = Timing(touch=0.02, stale=1.0, look=0.01)

    def wait() -> None:
        with locked(path, Owner(), timing, "d"):
            order.append("second")

    with locked(path, Owner(), timing, "d") as held:
        thread = threading.Thread(target=wait)
        thread.start()
        end = time.monotonic() + 2.5  # longer than a lock that nobody touches lives
        while time.monotonic() < end:
            assert held.still()
            thread.join(0.05)
            assert thread.is_alive()
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", '{"run": "other", "attempt": 1, "token": "x"}'])
def test_a_lock_that_nobody_touches_is_taken_over(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    with locked(path, Owner("run", 2), QUICK, "d") as held:
        assert held.still()
    assert list(tmp_path.iterdir()) == []


def test_attempts_of_the_same_run_never_overlap() -> None:
    one = Owner("run", 1)
    assert one.outlived(Owner("run", 2))
    assert not one.outlived(Owner("run", 1))
    assert not one.outlived(Owner("other", 2))
    assert not Owner("", 1).outlived(Owner("", 2))
    assert not Owner("run", 2).outlived(one)


def test_what_another_plan_left_is_not_used(tmp_path: Path) -> None:
    left = tmp_path / FOLDER / KEY / f"partial-{plan_of([('p', 1, 'other')])[:16]}-someone" / TREE
    left.mkdir(parents=True)
    (left / "a.bin").write_bytes(b"wrong" * 100)
    seen: list[Workplace] = []

    def look(work: Workplace) -> Complete:
        seen.append(work)
        return fill(work)

    check(Entry(tmp_path, KEY, Owner(), QUICK).obtain("d", PLAN, SIZES, look))
    assert seen[0].present == {}


def test_a_claim_that_can_not_be_read_is_not_a_damaged_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I/O error of a network file system must not make anybody remove what others train on."""
    check(obtain(tmp_path, 1))
    stat = Path.stat

    def broken(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self.name == "a.bin":
            raise OSError(5, "Input/output error", str(self))
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", broken)
    with pytest.raises(OSError, match="Input/output"):
        obtain(tmp_path, 2)
    monkeypatch.undo()
    check(obtain(tmp_path, 3))


def test_links_replace_links_of_an_earlier_process_but_no_folder(tmp_path: Path) -> None:
    found = obtain(tmp_path / "cache", 1)
    mount = tmp_path / "mount"
    for _ in range(2):
        link(found, mount)
        assert {path: (mount / path).read_bytes() for path in FILES} == FILES
    odd = Complete("", single=False, files=(FileDigest("d", 1, digests()[0].sha256),), tree=found.tree)
    with pytest.raises(FileExistsError):
        link(odd, mount)
