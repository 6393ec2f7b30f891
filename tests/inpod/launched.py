"""Runs the launcher as pods do: the one file that `bundle` makes, under ``python3 -I -S``.

``RUNWRIGHT_INPOD_PYTHON`` names another interpreter (3.8, say) for the whole suite.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from runwright.inpod.bundle import launcher
from runwright.inpod.told import Told

PYTHON = os.environ.get("RUNWRIGHT_INPOD_PYTHON", sys.executable)
SECONDS = 60.0
"""A launcher that has not ended by then hangs; on an idle machine it takes 0.1 s more than its script."""


@dataclass(slots=True)
class Launched:
    """A launcher process."""

    process: "subprocess.Popen[bytes]"
    message_file: Path
    out: bytes = b""
    err: bytes = b""
    read: bytes = field(default=b"", repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def message(self) -> str:
        """The termination message."""
        return self.message_file.read_text()

    @property
    def told(self) -> Told:
        """What the operator reads."""
        told = Told.of(self.message)
        assert told is not None, self.message
        return told

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for(self, line: bytes) -> None:
        """Read stdout until the script has said `line`; what was read is in `out` at the end."""
        assert self.process.stdout is not None
        while line not in self.read:
            got = os.read(self.process.stdout.fileno(), 65536)
            assert got, f"stdout ended before {line!r}: {self.read!r}"
            self.read += got

    def end(self, seconds: float = SECONDS) -> int:
        """Wait for its end; returns the exit code."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            raise
        self.out, self.err = self.read + (out or b""), err or b""
        return self.process.returncode


class Pod:
    """A folder that stands for a pod: launcher, termination log, environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launcher = folder / "launch.py"
        self.launcher.write_text(launcher())
        self.message_file = folder / "termination-log"
        self.message_file.touch()
        self.env: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "RUNWRIGHT_TERMINATION_LOG": str(self.message_file),
            "RUNWRIGHT_ATTEMPT": "1",
            "RUNWRIGHT_GRACE_SECONDS": "60",
        }
        self.started: list[Launched] = []

    def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        around: tuple[str, ...] = (),
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> Launched:
        """Start the launcher; `around` is a command that runs it (``unshare ...``)."""
        process = subprocess.Popen(
            [*around, PYTHON, "-I", "-S", str(self.launcher), "--", *command],
            env={**self.env, **(env or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        launched = Launched(process, self.message_file)
        self.started.append(launched)
        return launched

    def run(self, *command: str, env: Mapping[str, str] | None = None, around: tuple[str, ...] = ()) -> Launched:
        """Start the launcher and wait for its end."""
        launched = self.start(*command, env=env, around=around)
        launched.end()
        return launched

    def python(self, script: str, env: Mapping[str, str] | None = None) -> Launched:
        """Start a Python script under the launcher."""
        return self.start(sys.executable, "-u", "-c", script, env=env)

    def close(self) -> None:
        for launched in self.started:
            if launched.process.poll() is None:
                launched.process.kill()
            for stream in (launched.process.stdout, launched.process.stderr):
                if stream is not None:
                    stream.close()
            launched.process.wait()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)


def said(launched: Launched) -> dict[str, Any]:
    """The termination message's JSON."""
    found = json.loads(launched.message)
    assert isinstance(found, dict)
    return found


def state(pid: int) -> str:
    """A process's state letter; ``""`` when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except FileNotFoundError:
        return ""
