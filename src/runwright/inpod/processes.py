"""Processes and signals: start the script in a session of its own, reap everything, leave nobody behind."""

# start-up time: pathlib and ctypes cost milliseconds each
# ruff: noqa: PLC0415, PTH110, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""A script expects their default action (``head`` ending a pipeline)."""
PR_SET_CHILD_SUBREAPER = 36
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""A shell's exit codes for a command that cannot be started."""


class Signals:
    """Signals as bytes in a pipe: none is lost, and they are read in the order in which they came."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        for end in (self._reading, self._writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)

    def wait(self, seconds: float) -> bytes:
        """Numbers of the signals that came; empty after `seconds` or `wake`."""
        if select.select([self._reading], [], [], max(0.0, seconds))[0]:
            return os.read(self._reading, 4096).replace(b"\0", b"")
        return b""

    def wake(self) -> None:
        """End `wait` early, from another thread."""
        with contextlib.suppress(OSError):
            os.write(self._writing, b"\0")


def spawn(command: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int) -> int:
    """Start a program as leader of a new session; returns its pid. Must run before there are threads.

    Raises:
        OSError: it cannot be executed.
    """
    told, tell = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for number in (*FORWARDED, signal.SIGCHLD, *IGNORED_BY_PYTHON):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.execvpe(command[0], list(command), dict(env))  # noqa: S606  # running it is the point
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        except ValueError:  # an empty word
            os.write(tell, str(errno.ENOENT).encode())
        finally:
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(tell)
    failure = os.read(told, 16)  # empty once exec has closed it
    os.close(told)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid


def reap() -> Iterator[tuple[int, int]]:
    """Collect all children that have ended: (pid, wait status)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def exit_code(status: int) -> int:
    """A shell's exit code of a wait status: 128 + n for signal n."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, which PID 1 is anyway."""
    if os.getpid() == 1 or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(but: int = 0) -> list[int]:
    """Pids of all living processes below this one, without those at and below `but`; empty without /proc."""
    children: dict[int, list[int]] = {}
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # a program's name may hold blanks and brackets
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    generation = [os.getpid()]
    while generation:
        generation = [pid for parent in generation for pid in children.get(parent, ()) if pid != but]
        found += generation
    return found


def send(number: int, pids: Sequence[int]) -> None:
    """Send a signal to processes, as far as they still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def send_group(number: int, group: int) -> None:
    """Send a signal to a process group, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def not_started(command: Sequence[str], error: OSError) -> tuple[str, int]:
    """Return what to say when the command cannot be executed, and the shell's exit code for it."""
    program = command[0]
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if not program:
            why = "its first word is empty"
        elif "/" in program and os.path.exists(program):
            why = f"the interpreter that the first line of {program} names is not in the image"
        elif "/" in program:
            why = f"{program} does not exist in the image or its volumes"
        else:
            here = f" (it is in the working directory: write ./{program})" if os.path.exists("./" + program) else ""
            why = f"{program} is not on the image's PATH{here}"
        return f"spec.command cannot be started: {why}", NOT_FOUND
    if error.errno == errno.ENOEXEC:
        why = f"{program} is no program for this machine; a script needs a first line such as #!/bin/sh"
    elif error.errno == errno.EACCES:
        why = f"{program} is not executable by this user; start it with its interpreter, or chmod +x it"
    else:
        why = f"{program}: {error.strerror}"
    return f"spec.command cannot be started: {why}", NOT_EXECUTABLE


def signal_name(number: int) -> str:
    """Return the signal's name, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
