"""Background processes that outlive the command which started them, known by pid files that can be trusted.

A pid alone proves nothing after a crash or a reboot, because the kernel reuses it. A pid file here also holds the
boot's id and the process's start time (proc_pid_stat(5), field 22): only if all three agree is it the process that was
started.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.errors import ClusterError
from tests.cluster.shell import eventually, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROC = Path("/proc")
_TAIL_BYTES = 3000
# Python warns of a Popen object that vanishes before its process; daemons are to outlive theirs.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Identity:
    """What tells one process from a later one with the same pid."""

    pid: int
    start_ticks: int
    boot_id: str


def boot_id() -> str:
    """Return the id of this boot, empty where the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identify(pid: int) -> Identity | None:
    """Return the identity of a process that lives (a zombie does not), else None."""
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)
    try:
        # The command name, in parentheses, may hold blanks and parentheses itself.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _identify_without_proc(pid)
    return None if fields[0] in {"Z", "X"} else Identity(pid, int(fields[19]), boot_id())


def _identify_without_proc(pid: int) -> Identity | None:
    if (_PROC / "self").exists():
        return None
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return Identity(pid, 0, "")


def command_line(pid: int) -> tuple[str, ...]:
    """Return a process's arguments; empty if it is gone or a kernel thread."""
    try:
        return tuple((_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
    except OSError:
        return ()


def all_pids() -> tuple[int, ...]:
    """Return the pids of all processes."""
    return tuple(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def end(pids: Sequence[int], grace: float = 10.0) -> None:
    """End processes: SIGTERM, then SIGKILL for those that live after `grace` seconds; returns when they are gone."""
    known = [identity for pid in pids if (identity := identify(pid))]

    def alive() -> list[Identity]:
        return [identity for identity in known if identify(identity.pid) == identity]

    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        for identity in alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, number)
        if eventually(lambda: not alive(), seconds):
            return
    raise ClusterError(f"these processes can't be ended: {[identity.pid for identity in alive()]}")


@dataclass
class Daemons:
    """The background processes of one folder: `NAME.pid` and `NAME.log` in it.

    With `die_with_parent` they end when the thread that started them does (Linux: prctl(2), PR_SET_PDEATHSIG), so that
    a killed test run leaves nothing behind.
    """

    directory: Path
    die_with_parent: bool = False

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a process in a session of its own, its output in `NAME.log`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        words = [str(word) for word in argv]
        if self.die_with_parent and (setpriv := shutil.which("setpriv")):
            words = [setpriv, "--pdeathsig", "KILL", *words]
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=self.directory,
                start_new_session=True,
            )
        _children.append(process)
        if identity := identify(process.pid):
            replace_file(self._pid_file(name), json.dumps(asdict(identity)))

    def pid(self, name: str) -> int | None:
        """Return the pid of a process that lives and is the one that was started, else None."""
        try:
            recorded = Identity(**json.loads(self._pid_file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return recorded.pid if identify(recorded.pid) == recorded else None

    def stop(self, name: str, grace: float = 10.0) -> None:
        """End a process and wait until it is gone; nothing happens if it is not running."""
        if pid := self.pid(name):
            end([pid], grace)
        self.forget(name)

    def kill(self, name: str) -> None:
        """End a process at once with SIGKILL, as a crash would."""
        if pid := self.pid(name):
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: self.pid(name) is None, 10)
        self.forget(name)

    def forget(self, name: str) -> None:
        """Remove the pid file of a process that is gone."""
        self._pid_file(name).unlink(missing_ok=True)
        _children[:] = [child for child in _children if child.poll() is None]

    def names(self) -> tuple[str, ...]:
        """Return the names that have a pid file, alive or not."""
        return tuple(sorted(path.stem for path in self.directory.glob("*.pid")))

    def log(self, name: str) -> Path:
        """Return the file with a process's output."""
        return self.directory / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the end of a process's output."""
        try:
            return self.log(name).read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""

    def _pid_file(self, name: str) -> Path:
        return self.directory / f"{name}.pid"
