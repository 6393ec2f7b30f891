"""A pid file is trusted only for the very process that was started."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.cluster import process
from tests.cluster.process import Daemons, identify
from tests.cluster.shell import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
IGNORES_SIGTERM = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
]


def test_knows_started_process_across_instances(tmp_path: Path) -> None:
    Daemons(tmp_path).start("one", SLEEP)
    pid = Daemons(tmp_path).pid("one")
    assert pid is not None
    assert Daemons(tmp_path).names() == ("one",)
    Daemons(tmp_path).stop("one")
    assert identify(pid) is None
    assert Daemons(tmp_path).names() == ()


def test_reused_pid_is_not_ours(tmp_path: Path) -> None:
    other = subprocess.Popen(SLEEP)
    try:
        identity = identify(other.pid)
        assert identity is not None
        for wrong in (
            replace(identity, start_ticks=identity.start_ticks - 1),
            replace(identity, boot_id="another boot"),
        ):
            (tmp_path / "one.pid").write_text(json.dumps(asdict(wrong)))
            assert Daemons(tmp_path).pid("one") is None
            Daemons(tmp_path).stop("one")
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "12", "{}", '{"pid": 1}', "not json"])
def test_damaged_pid_file_is_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "one.pid").write_text(content)
    assert Daemons(tmp_path).pid("one") is None


def test_zombie_is_gone(tmp_path: Path) -> None:
    daemons = Daemons(tmp_path)
    daemons.start("short", [sys.executable, "-c", "print('said')"])
    assert eventually(lambda: daemons.pid("short") is None, 20)
    assert daemons.tail("short") == "said\n"
    daemons.stop("short")


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    daemons = Daemons(tmp_path)
    daemons.start("stubborn", IGNORES_SIGTERM)
    assert eventually(lambda: "ready" in daemons.tail("stubborn"), 20)
    pid = daemons.pid("stubborn")
    daemons.stop("stubborn", grace=0.2)
    assert pid is not None
    assert identify(pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from tests.cluster.process import Daemons
Daemons(Path({str(tmp_path)!r}), die_with_parent=True).start("child", {SLEEP!r})
print("started", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        daemons = Daemons(tmp_path)
        # setpriv asks for the signal and then becomes the program.
        child = daemons.pid("child")
        assert child is not None
        assert eventually(lambda: process.command_line(child)[-1:] == (SLEEP[-1],), 20)
        assert eventually(lambda: "setpriv" not in process.command_line(child)[0], 20)
        os.kill(parent.pid, signal.SIGKILL)
    assert eventually(lambda: daemons.pid("child") is None, 20)
