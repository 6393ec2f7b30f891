"""Everybody is reaped, nobody is left behind, and nobody can hold up the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.inpod.launched import Pod, state, until

pytestmark = pytest.mark.slow

NAMESPACE = ("unshare", *(() if os.geteuid() == 0 else ("-r",)), "--pid", "--fork", "--mount-proc", "--kill-child")
"""Makes the launcher PID 1, as in a container."""
ORPHANS = """
import os, time
for n in range({count}):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            {orphan}
        os._exit(0)
    os.wait()
"""


def zombies(parent: int) -> list[int]:
    """Children of a process that have ended and were not reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] == b"Z" and int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def test_orphans_are_reaped_while_the_script_runs(pod: Pod) -> None:
    script = ORPHANS.format(count=20, orphan="print(os.getppid(), flush=True); time.sleep(0.2); os._exit(0)")
    launched = pod.python(script + "print('ready', flush=True)\nwhile not os.path.exists('enough'): time.sleep(0.01)")
    launched.wait_for(b"ready")
    orphans = subprocess.run(["pgrep", "-P", str(launched.pid)], capture_output=True, check=True).stdout.split()
    assert len(orphans) > 1  # adopted by the launcher: the script itself, and orphans
    until(
        lambda: (
            len(subprocess.run(["pgrep", "-P", str(launched.pid)], capture_output=True, check=False).stdout.split())
            == 1
        ),
        "all orphans to end",
    )
    assert zombies(launched.pid) == []
    (pod.folder / "enough").touch()
    assert launched.end() == 0


def test_daemons_in_sessions_of_their_own_are_ended(pod: Pod) -> None:
    """As torchrun's workers are: a group's SIGKILL would miss them."""
    orphan = "open(f'daemon-{os.getpid()}', 'w'); time.sleep(1000)"
    waiting = "while len([n for n in os.listdir() if n.startswith('daemon-')]) < 5: time.sleep(0.01)"
    launched = pod.python(ORPHANS.format(count=5, orphan=orphan) + waiting)
    assert launched.end() == 0
    daemons = [int(p.name.removeprefix("daemon-")) for p in pod.folder.glob("daemon-*")]
    assert len(daemons) == 5
    assert [state(pid) for pid in daemons] == [""] * 5


def test_what_ignores_sigterm_after_the_script_is_killed(pod: Pod) -> None:
    script = "trap '' TERM; (trap '' TERM; echo $$ ready; while :; do sleep 0.05; done) & wait"
    launched = pod.start(
        "sh", "-c", f"sh -c '{script.replace(chr(39), chr(34))}' & wait", env={"RUNWRIGHT_GRACE_SECONDS": "3"}
    )
    launched.wait_for(b"ready")
    launched.send(15)
    assert launched.end() == 143
    left = int(launched.out.split()[0])
    assert state(left) == ""


def test_as_pid_1_of_a_container(pod: Pod) -> None:
    script = (
        ORPHANS.format(count=3, orphan="time.sleep(1000)") + "print('parent', os.getppid(), flush=True)\nos._exit(7)"
    )
    launched = pod.run(sys.executable, "-c", script, around=NAMESPACE)
    assert launched.process.returncode == 7
    assert b"parent 1\n" in launched.out
    assert launched.told.exit_code == 7


def test_pid_1_gets_its_signals(pod: Pod) -> None:
    """The kernel drops signals to PID 1 that it has no handler for."""
    launched = pod.start(
        "sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done", around=NAMESPACE
    )
    launched.wait_for(b"ready")
    children = subprocess.run(["pgrep", "-P", str(launched.pid)], capture_output=True, check=True).stdout.split()
    os.kill(int(children[0]), 15)
    assert launched.end() == 143
    assert b"bye\n" in launched.out
    assert launched.told.terminated


def test_a_stranger_that_holds_the_pipe_open_does_not_hold_up_the_end(pod: Pod) -> None:
    launched = pod.start("sh", "-c", "echo $$ ready; while [ ! -e enough ]; do sleep 0.02; done; echo last; exit 3")
    launched.wait_for(b"ready\n")
    script = int(launched.read.split()[0])
    with Path(f"/proc/{script}/fd/1").open("wb", buffering=0):  # not the script's child: nobody can end it
        (pod.folder / "enough").touch()
        assert launched.end() == 3
    assert b"last\n" in launched.out
    assert b"some output was not passed on" in launched.err


def test_a_child_that_holds_the_pipe_open_is_ended_with_the_script(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "(trap '' TERM HUP; exec sleep 1000) & echo started; exit 0")
    assert launched.process.returncode == 0
    assert launched.out == b"started\n"
    assert b"some output" not in launched.err
