"""SIGTERM means 143, whatever the script makes of it; the script has its part of the grace period, and no more."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod, state, until

pytestmark = pytest.mark.slow

HANDLES = """
import os, signal, sys, time
def got(number, frame):
    print("got", number, flush=True)
    {then}
signal.signal({number}, got)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_are_passed_on(pod: Pod, number: signal.Signals) -> None:
    launched = pod.python(HANDLES.format(number=number.value, then="sys.exit(5)"))
    launched.wait_for(b"ready")
    launched.send(number)
    assert launched.end() == 5
    assert f"got {number.value}\n".encode() in launched.out
    assert not launched.told.terminated


@pytest.mark.parametrize("code", [0, 1, 5])
def test_sigterm_is_143_whatever_the_script_returns(pod: Pod, code: int) -> None:
    launched = pod.python(HANDLES.format(number=15, then=f"sys.exit({code})"))
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert launched.told.terminated
    assert launched.told.exit_code == code
    assert b"got SIGTERM: the script has 50 s to end" in launched.err


def test_sigterm_without_a_handler(pod: Pod) -> None:
    launched = pod.start("sh", "-c", "echo ready; exec sleep 1000")
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143


@pytest.mark.parametrize("code", [0, 4])
def test_a_script_that_is_done_keeps_its_code(pod: Pod, code: int) -> None:
    done = pod.folder / "done"
    launched = pod.python(
        HANDLES.format(number=15, then=f"open(os.environ['RUNWRIGHT_DONE_FILE'], 'w'); sys.exit({code})"),
        env={"RUNWRIGHT_DONE_FILE": str(done)},
    )
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == code
    assert launched.told.done
    assert launched.told.terminated


def test_a_done_file_of_somebody_else_counts_for_nothing(pod: Pod) -> None:
    done = pod.folder / "done"
    done.touch()
    launched = pod.python(HANDLES.format(number=15, then="sys.exit(0)"), env={"RUNWRIGHT_DONE_FILE": str(done)})
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert b"removed" in launched.err


def test_the_stop_file_is_the_script_s_business(pod: Pod) -> None:
    stop = pod.folder / "stop"
    script = "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists(os.environ['RUNWRIGHT_STOP_FILE']):"
    launched = pod.python(script + " time.sleep(0.01)", env={"RUNWRIGHT_STOP_FILE": str(stop)})
    launched.wait_for(b"ready")
    stop.write_text("enough")
    assert launched.end() == 0


def test_a_script_that_ignores_sigterm_is_killed_in_time_for_the_upload(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.start(
        "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done", env={"RUNWRIGHT_GRACE_SECONDS": "4"}
    )
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert launched.told.exit_code == 137
    assert b"the script did not end within 2 s of SIGTERM: killing it" in server.log()
    assert b"killed by SIGKILL (exit code 137); it was stopped by SIGTERM, so the exit code is 143" in server.log()


def test_the_log_is_uploaded_while_the_script_takes_its_time(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.start("sh", "-c", "trap '' TERM; echo ready; while [ ! -e enough ]; do sleep 0.05; done")
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    until(lambda: server.stored, "an upload before the end")
    assert launched.process.poll() is None
    assert b"ready" in server.log()
    (tracked.folder / "enough").touch()
    assert launched.end() == 143
    assert b"it was stopped by SIGTERM" in server.log()  # the whole log followed


def test_every_sigterm_is_passed_on_and_the_first_sets_the_clock(pod: Pod) -> None:
    script = HANDLES.format(number=15, then="got.times = getattr(got, 'times', 0) + 1; got.times == 2 and sys.exit(0)")
    launched = pod.python(script)
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    launched.wait_for(b"got 15\n")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert launched.out.count(b"got 15\n") == 2
    assert launched.err.count(b"got SIGTERM") == 1


def test_only_the_script_gets_the_signal(pod: Pod) -> None:
    """DataLoader workers that die of a SIGTERM of their own make a script fail that wants to end its epoch."""
    script = """
import os, signal, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; print('working', flush=True); time.sleep(1000)"])
def got(number, frame):
    time.sleep(0.2)
    print("worker", worker.poll(), flush=True)
    worker.kill()
    sys.exit(0)
signal.signal(15, got)
print("ready", flush=True)
while True: time.sleep(0.01)
"""
    launched = pod.python(script)
    launched.wait_for(b"ready")
    launched.wait_for(b"working")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert b"worker None\n" in launched.out


def test_what_a_shell_leaves_behind_gets_sigterm_and_its_time(pod: Pod) -> None:
    """``sh -c "python train.py; ..."``: the shell dies of SIGTERM and tells nobody."""
    script = HANDLES.format(number=15, then="time.sleep(0.3); print('saved', flush=True); sys.exit(0)")
    launched = pod.start("sh", "-c", '"$0" -u -c "$1"; echo never', sys.executable, script)
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert b"got 15\nsaved\n" in launched.out
    assert b"never" not in launched.out


def test_sigterm_after_the_script_s_own_end_changes_nothing(pod: Pod, server: ArtifactServer) -> None:
    server.answers = [0]
    launched = pod.start("true", env=server.env)
    until(lambda: server.requests, "the upload")
    launched.send(signal.SIGTERM)
    server.released.set()
    assert launched.end() == 0
    assert not launched.told.terminated


def test_a_script_that_had_ended_before_sigterm_keeps_its_code(pod: Pod) -> None:
    """Both have happened by the time that the launcher looks."""
    launched = pod.start("sh", "-c", "echo $$ ready; while [ ! -e enough ]; do sleep 0.02; done")
    launched.wait_for(b"ready")
    script = int(launched.read.split()[0])
    launched.send(signal.SIGSTOP)
    until(lambda: state(launched.pid) == "T", "the launcher to stand still")
    (pod.folder / "enough").touch()
    until(lambda: state(script) == "Z", "the script's end")
    launched.send(signal.SIGTERM)
    launched.send(signal.SIGCONT)
    assert launched.end() == 0
    assert not launched.told.terminated


def test_the_script_leads_a_session_of_its_own_with_default_signals(pod: Pod) -> None:
    script = (
        "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid()); "
        "print(*[l for l in open('/proc/self/status') if l.startswith(('SigBlk', 'SigIgn'))], sep='', end='')"
    )
    launched = pod.run(sys.executable, "-S", "-c", script)
    session, *masks = launched.out.decode().splitlines()
    assert session == "True"
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25): bits 12 and 24.
    assert [_mask(line) for line in masks] == [0, 0x1001000]
    grep = pod.run("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")
    assert [_mask(line) for line in grep.out.decode().splitlines()] == [0, 0]


def _mask(line: str) -> int:
    """A line of ``/proc/PID/status`` without signals 32 and 33: libc keeps them to itself, nobody can reset them."""
    return int(line.split()[1], 16) & ~(0b11 << 31)


def test_no_file_of_ours_is_open_in_the_script(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "ls /proc/$$/fd | tr '\\n' ' '")
    assert launched.out == b"0 1 2 "


@pytest.mark.parametrize(
    ("grace", "script"), [("60", "50"), ("20", "10"), ("15", "7.5"), ("5", "2.5"), ("0", "0"), ("x", "20"), ("-3", "0")]
)
def test_the_script_s_part_of_the_grace_period(pod: Pod, grace: str, script: str) -> None:
    launched = pod.start("sh", "-c", "echo ready; exec sleep 1000", env={"RUNWRIGHT_GRACE_SECONDS": grace})
    launched.wait_for(b"ready")
    launched.send(signal.SIGTERM)
    assert launched.end() == 143
    assert f"the script has {script} s to end".encode() in launched.err


def test_a_launcher_whose_stdin_stdout_or_stderr_is_closed(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "echo out; echo err >&2; exit 6", around=("sh", "-c", 'exec "$@" <&- >&-', "sh"))
    assert launched.process.returncode == 6
    assert b"err\n" in launched.err
    both = pod.run("sh", "-c", "echo out; exit 6", around=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    assert both.process.returncode == 6
    assert both.told.tail == "out"


def test_the_launcher_s_own_death_leaves_the_message_to_the_kubelet(pod: Pod) -> None:
    """Nothing is written before the end: FallbackToLogsOnError then takes the log's last lines."""
    launched = pod.start("sh", "-c", "echo $$; exec sleep 1000")
    launched.wait_for(b"\n")
    script = int(launched.read)
    launched.send(signal.SIGKILL)
    assert launched.end() == -9
    assert launched.message == ""
    os.kill(script, signal.SIGKILL)  # in a container it would have died with PID 1
    until(lambda: state(script) in ("", "Z"), "the script's death")
    assert not Path(f"/proc/{launched.pid}/exe").exists()
