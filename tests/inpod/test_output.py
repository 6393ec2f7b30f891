"""Every byte is passed on in order; the log keeps the beginning and the end; neither holds up the script."""

import array
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import termios
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod import output
from runwright.inpod.output import BoundedLog, log_limit
from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod, until

pytestmark = pytest.mark.slow

MIB = 1 << 20
SMALL_DISK = ("unshare", *(() if os.geteuid() == 0 else ("-r",)), "--mount", "sh", "-c")


def marker(cut: int) -> bytes:
    return b"[runwright] %d bytes of output are left out here\n" % cut


# ---------------------------------------------------------------------------------------------------- the log itself

lines = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"") + b"\n"))


@given(pieces=st.lists(st.binary(max_size=400)), limit=st.integers(2, 600))
def test_one_stream_is_kept_byte_for_byte_until_the_limit(pieces: list[bytes], limit: int) -> None:
    log = BoundedLog(limit)
    for piece in pieces:
        log.add(1, piece)
    whole = b"".join(pieces)
    kept, cut = log.snapshot()
    if cut == 0:
        assert kept == whole
        return
    head, _, tail = kept.partition(marker(cut))
    assert whole.endswith(tail)
    assert whole.startswith((head, head[:-1]))  # a newline before the marker may be ours
    ended = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
    in_lines = len(head) + len(tail) - (len(whole) - ended)
    assert in_lines in (ended - cut, ended - cut + 1)
    assert len(kept) - len(marker(cut)) <= limit + (len(whole) - ended) + 1


@given(stream_1=lines, stream_2=lines, cuts=st.lists(st.integers(1, 40), min_size=1), order=st.lists(st.booleans()))
def test_lines_of_two_streams_stay_whole_and_in_order(
    stream_1: list[bytes], stream_2: list[bytes], cuts: list[int], order: list[bool]
) -> None:
    log = BoundedLog(1 << 20)
    left = {1: b"".join(stream_1), 2: b"".join(stream_2)}
    for n, first in enumerate([*order, *([True, False] * 200)]):
        stream, size = (1 if first else 2), cuts[n % len(cuts)]
        log.add(stream, left[stream][:size])
        left[stream] = left[stream][size:]
    for stream, rest in left.items():
        log.add(stream, rest)
    kept = log.snapshot()[0].splitlines(keepends=True)
    remaining = {1: list(stream_1), 2: list(stream_2)}
    assert sorted(kept) == sorted(stream_1 + stream_2)
    for written in remaining.values():
        position = iter(kept)
        assert all(line in position for line in written)  # a subsequence: in order


@given(count=st.integers(20, 400), limit=st.integers(60, 400))
def test_the_cut_is_between_lines(count: int, limit: int) -> None:
    log = BoundedLog(limit)
    whole = [b"line %d\n" % n for n in range(count)]
    for line in whole:
        log.add(1, line)
    kept, cut = log.snapshot()
    if cut:
        head, _, tail = kept.partition(marker(cut))
        assert b"".join(whole).startswith(head)
        assert head.endswith(b"\n")
        assert set(head.splitlines(keepends=True) + tail.splitlines(keepends=True)) <= set(whole)
        assert cut == sum(map(len, whole)) - len(head) - len(tail)


@given(pieces=st.lists(st.binary(max_size=50)), limit=st.integers(0, 100))
def test_the_last_bytes(pieces: list[bytes], limit: int) -> None:
    log = BoundedLog(2000)
    for piece in pieces:
        log.add(1, piece)
    whole = b"".join(pieces)
    assert log.last(limit) == (whole[-limit:] if limit else b"")


def test_a_progress_bar_does_not_hold_back_lines() -> None:
    log = BoundedLog(1000)
    log.add(2, b"\r10%")
    log.add(2, b"\r20%")
    log.add(1, b"epoch 1\n")
    log.add(2, b"\r30%\n")
    assert log.snapshot()[0] == b"\r10%\repoch 1\n20%\r30%\n"


@pytest.mark.parametrize(
    ("memory", "limit"), [(None, 16 * MIB), (1 << 40, 16 * MIB), (256 * MIB, 8 * MIB), (16 * MIB, MIB), (1, MIB)]
)
def test_a_small_container_keeps_a_small_log(memory: int | None, limit: int) -> None:
    assert log_limit(memory) == limit


# ---------------------------------------------------------------------------------------------------- the launcher


def test_both_streams_are_passed_on_complete_and_in_order(tracked: Pod, server: ArtifactServer) -> None:
    script = "for i in $(seq 20000); do echo out $i; echo err $i >&2; done"
    launched = tracked.run("sh", "-c", script)
    assert launched.out == b"".join(b"out %d\n" % n for n in range(1, 20001))
    assert launched.err == b"".join(b"err %d\n" % n for n in range(1, 20001))
    logged = server.log().splitlines(keepends=True)
    assert len(logged) == 40000
    for name in (b"out", b"err"):
        assert [line for line in logged if line.startswith(name)] == [b"%s %d\n" % (name, n) for n in range(1, 20001)]


def test_binary_output(tracked: Pod, server: ArtifactServer) -> None:
    content = os.urandom(3 * MIB)
    (tracked.folder / "data").write_bytes(content)
    launched = tracked.run("cat", "data")
    assert launched.out == content
    assert server.log() == content


def test_what_stands_before_a_newline_arrives_at_once(pod: Pod) -> None:
    launched = pod.start("sh", "-c", "printf 'loading...'; while [ ! -e enough ]; do sleep 0.02; done")
    launched.wait_for(b"loading...")
    (pod.folder / "enough").touch()
    assert launched.end() == 0


def test_a_hundred_megabytes_without_a_newline(tracked: Pod, server: ArtifactServer) -> None:
    script = "import os\nfor n in range(1600): os.write(1, bytes([65 + n % 26]) * 65536)"
    launched = tracked.start(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert launched.process.stdout is not None
    seen, size = hashlib.sha256(), 0
    while block := launched.process.stdout.read(MIB):
        seen.update(block)
        size += len(block)
    assert launched.end() == 0
    whole = b"".join(bytes([65 + n % 26]) * 65536 for n in range(1600))
    assert size == len(whole)
    assert seen.digest() == hashlib.sha256(whole).digest()
    cut = len(whole) - 16 * MIB
    assert server.log() == whole[: 8 * MIB] + b"\n" + marker(cut) + whole[-8 * MIB :]


def test_long_output_keeps_its_beginning_and_its_end(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.start("seq", "3000000", stdout=subprocess.DEVNULL)
    assert launched.end() == 0
    whole = b"".join(b"%d\n" % n for n in range(1, 3000001))
    cut = int(server.log().partition(b"[runwright] ")[2].split()[0])
    head, _, tail = server.log().partition(marker(cut))
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + cut + len(tail) == len(whole)
    assert 16 * MIB - 32 <= len(head) + len(tail) <= 16 * MIB
    assert head.endswith(b"\n")
    assert int(tail.split(b"\n", 1)[0]) == 3000000 - tail.count(b"\n") + 1


def test_a_script_that_closes_its_output_runs_on(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.run("sh", "-c", "echo before; exec >&- 2>&-; while [ ! -e over ]; do touch over; done; exit 9")
    assert launched.process.returncode == 9
    assert launched.out == b"before\n"
    assert server.log() == b"before\n[runwright] the script exited with code 9\n"


def test_a_reader_that_goes_away_does_not_disturb_the_script(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.start("sh", "-c", "echo first; while [ ! -e gone ]; do sleep 0.02; done; seq 20000; exit 2")
    launched.wait_for(b"first\n")
    assert launched.process.stdout is not None
    launched.process.stdout.close()
    (tracked.folder / "gone").touch()
    assert launched.process.wait(60) == 2
    assert b"19999\n20000\n" in server.log()
    assert b"stdout cannot be written (Broken pipe): output is missing there" in server.log()


def test_a_full_disk_costs_only_what_is_written_to_it(tracked: Pod, server: ArtifactServer) -> None:
    """Everything that the launcher could write to is on a disk of 1 MB: its stdout, its folder, TMPDIR."""
    disk = tracked.folder / "disk"
    disk.mkdir()
    launched = tracked.run(
        "sh",
        "-c",
        "seq 400000; exit 4",
        env={"TMPDIR": str(disk), "HOME": str(disk)},
        around=(*SMALL_DISK, f'mount -t tmpfs -o size=1m none "{disk}" && cd "{disk}" && "$@" > out', "sh"),
    )
    assert launched.process.returncode == 4
    assert b"stdout cannot be written (No space left on device): output is missing there" in launched.err
    logged = server.log().splitlines()
    assert [line for line in logged if not line.startswith(b"[")] == [b"%d" % n for n in range(1, 400001)]


def test_a_stalled_reader_holds_up_the_script_but_not_the_end(tracked: Pod, server: ArtifactServer) -> None:
    """Nobody reads stdout: the pipes fill, the script waits as it would without us, and SIGTERM still works."""
    script = "trap 'echo saved >&2; exit 0' TERM; (seq 10000000) & while :; do sleep 0.05; done"
    launched = tracked.start("sh", "-c", script, env={"RUNWRIGHT_GRACE_SECONDS": "4"})
    until(lambda: _full(launched.process.stdout), "the launcher to wait for its reader")
    launched.send(signal.SIGTERM)
    assert launched.process.wait(60) == 143
    assert server.log().startswith(b"1\n2\n3\n")
    assert b"\nsaved\n" in server.log()  # what nobody read is in the log all the same
    assert launched.told.terminated


def test_a_traceback_follows_the_output_before_it(tracked: Pod, server: ArtifactServer) -> None:
    for _ in range(5):
        launched = tracked.run("sh", "-c", "seq 100000; echo Traceback >&2; exit 1")
        assert server.log().endswith(b"\n100000\nTraceback\n[runwright] the script exited with code 1\n")
        assert launched.told.tail.endswith("\n100000\nTraceback")


def _full(pipe: IO[bytes] | None) -> bool:
    assert pipe is not None
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


def test_messages_of_ours_begin_on_a_line_of_their_own(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "printf '50%%' >&2; exit 1")
    assert launched.err == b"50%\n[runwright] the script exited with code 1\n"


def test_a_non_blocking_stdout(pod: Pod) -> None:
    """Somebody else's O_NONBLOCK on a shared pipe must lose nothing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as reader:
        launched = pod.start("seq", "300000", stdout=writing)
        os.close(writing)
        assert reader.read() == b"".join(b"%d\n" % n for n in range(1, 300001))
    assert launched.end() == 0


def test_the_marker_and_sizes_are_those_of_the_documentation() -> None:
    assert output.LOG_BYTES == 16 * MIB
