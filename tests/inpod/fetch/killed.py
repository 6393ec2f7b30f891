"""Fills a cache entry again and again, killed before the first, second, third... operation on files.

Run as a program, since it forks: ``python -m tests.inpod.fetch.killed FOLDER`` prints how many places it was killed at.
"""

import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path

from runwright.inpod.fetch.cache import CONTENT, FOLDER, PARTS, TREE, Complete, Entry, Workplace, digest_of, plan_of
from runwright.inpod.fetch.lock import Owner, Timing
from runwright.inpod.fetch.tree import FileDigest

FILES = {"a.bin": b"alpha" * 100, "d/b.bin": b"beta" * 50, "d/e/c.bin": b""}
QUICK = Timing(touch=60, stale=0.05, look=0.01)
KEY = "key"
SIZES = {path: len(content) for path, content in FILES.items()}


def digests() -> tuple[FileDigest, ...]:
    return tuple(FileDigest(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in FILES.items())


def fill(work: Workplace) -> Complete:
    """Write what is missing, as `transfer.py` does: into parts, then by rename."""
    (work.folder / PARTS).mkdir(exist_ok=True)
    for number, (path, content) in enumerate(FILES.items()):
        if path in work.present:
            continue
        part = work.folder / PARTS / str(number)
        half = len(content) // 2
        with part.open("wb") as file:
            file.write(content[:half])
        with part.open("ab") as file:
            file.write(content[half:])
        (work.folder / TREE / path).parent.mkdir(parents=True, exist_ok=True)
        part.rename(work.folder / TREE / path)
    files = digests()
    return Complete(digest_of(files, single=False), single=False, files=files, tree=work.folder / TREE)


def entry(cache: Path, attempt: int) -> Entry:
    return Entry(cache, KEY, Owner("run", attempt), QUICK)


def obtain(cache: Path, attempt: int) -> Complete:
    return entry(cache, attempt).obtain("d", plan_of([("p", 1, "e")]), SIZES, fill)


def check(found: Complete) -> None:
    assert found.digest == digest_of(digests(), single=False)
    assert {path: (found.tree / path).read_bytes() for path in FILES} == FILES
    everything = {str(path.relative_to(found.tree)) for path in found.tree.rglob("*") if path.is_file()}
    assert everything == set(FILES)


def killed_at(cache: Path, number: int) -> bool:
    """Fill in a child that is killed before its operation `number`; tells whether it came so far."""
    child = os.fork()
    if child == 0:
        left = number

        def count(event: str, _arguments: object) -> None:
            nonlocal left
            if event == "open" or (event.startswith(("os.", "shutil.")) and event != "os.kill"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        obtain(cache, 1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, status
    return os.WIFSIGNALED(status)


def main(folder: Path) -> int:
    number = 0
    while True:
        cache = folder / str(number)
        cache.mkdir()
        if not killed_at(cache, number):
            return number
        if found := entry(cache, 2).find():  # what is found is whole, whenever one looks
            check(found)
        check(obtain(cache, 2))
        left = sorted(path.name for path in (cache / FOLDER / KEY).iterdir())
        assert left == [CONTENT], (number, left)
        shutil.rmtree(cache)
        number += 1


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]))}\n")
