"""PID 1 of the ``trainer`` container: ``python3 -I -S launch.py -- COMMAND ARGS...``.

Starts the script, passes signals on, reaps, keeps the log and uploads it, says in its exit code and termination message
how the script ended. docs/adr/0007-launcher.md has the rules and their reasons.
"""

# start-up time: the script does not wait for imports
# ruff: noqa: PLC0415, PTH100, PTH107, PTH110, PTH112, PTH118, PTH120

from __future__ import annotations

import os
import signal
import sys
import time

from runwright.inpod.artifacts import Artifacts, ArtifactsError
from runwright.inpod.capture import capture
from runwright.inpod.cgroup import memory_limit, out_of_memory_kills
from runwright.inpod.checkpoints import Checkpoint, newest_checkpoint
from runwright.inpod.output import BoundedLog, Pump, Sink, log_limit, output_pipe
from runwright.inpod.processes import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    Signals,
    adopt_orphans,
    descendants,
    exit_code,
    not_started,
    reap,
    send,
    send_group,
    signal_name,
    spawn,
)
from runwright.inpod.termination import TAIL_BYTES, encoded, script_message, write_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

OLDEST_PYTHON = (3, 8)
"""3.7 gets as far as saying so."""
TERMINATION_LOG = "/dev/termination-log"
GRACE_SECONDS = 30.0
"""Kubernetes' default terminationGracePeriodSeconds."""
OWN_SECONDS = 10.0
"""Of the grace period, for the uploads after the script's end; half of it where it is shorter than twice that."""
UPLOAD_SECONDS = 8.0
"""The end is never later for the uploads than this; ``RUNWRIGHT_UPLOAD_SECONDS`` changes it."""
ANSWER_SECONDS = 0.5
"""After that, for the reason why an upload failed."""
EARLY_UPLOAD_SECONDS = 2.0
"""A script that lives on so long after SIGTERM gets its log uploaded as it is, in case its end never comes."""
KILL_SECONDS = 2.0
"""SIGKILL works at once, but for a process that waits for a disk."""
STALL_SECONDS = 3.0
"""Output that nobody has read for so long after the script's end is given up."""
TICK_SECONDS = 0.2
TERMINATED = 128 + signal.SIGTERM


class Launcher:
    """One script, from its start to the container's exit code."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.command = command
        self.env = dict(env)
        self.node = env.get("RUNWRIGHT_NODE") or env.get("JOB_COMPLETION_INDEX") or "0"
        self.done_file = env.get("RUNWRIGHT_DONE_FILE", "")
        self.checkpoints = env.get("RUNWRIGHT_CHECKPOINT_DIR", "")
        self.signals = Signals()
        self.artifacts = Artifacts(env)
        self.told: dict[str, Any] = {}
        """Fields of the termination message."""
        self.script = 0
        self.capture = 0
        self.status: int | None = None
        """The script's wait status once it has ended."""
        self.captured = False
        self.terminated: float | None = None
        """When SIGTERM came."""
        self.killed = False
        self._early: list[str] = []
        self._kills_before = out_of_memory_kills()

    @property
    def grace(self) -> tuple[float, float]:
        """The pod's grace period in seconds: the script's part of it, and all."""
        whole = self._seconds("RUNWRIGHT_GRACE_SECONDS", GRACE_SECONDS)
        return whole - min(OWN_SECONDS, whole / 2), whole

    def _seconds(self, name: str, otherwise: float) -> float:
        try:
            return max(0.0, float(self.env.get(name, otherwise)))
        except ValueError:
            return otherwise

    def run(self) -> int:
        """Start the script, watch it, tell its end; returns the container's exit code."""
        adopt_orphans()
        env = self._script_env()
        problem, code = "", 0
        pipes = output_pipe(), output_pipe()
        try:
            self.script = spawn(self.command, env, pipes[0][1], pipes[1][1])
        except OSError as error:
            problem, code = not_started(self.command, error)
        else:
            self._start_capture()
        for _reading, writing in pipes:
            os.close(writing)
        # From here on there are threads, and imports that the script need not wait for.
        self.log = BoundedLog(log_limit(memory_limit()))
        self.sinks = tuple(Sink(fd, on_problem=self.say) for fd in (1, 2))
        for line in self._early:
            self.say(line)
        if problem:
            self.say(problem)
            self.told["message"] = problem
        self.pump = Pump({pipes[n][0]: self.sinks[n] for n in (0, 1)}, self.log, self.signals.wake)
        self.pump.start()
        if self.script:
            self._watch()
            self._clear()
        self._drain()
        output = self.log.last(2 * TAIL_BYTES)
        if self.status is not None:
            code = self._judge(self.status)
        self._record()
        self._tell(output)
        return code

    def say(self, line: str) -> None:
        """Write a line of ours to stderr and into the log."""
        data = f"[runwright] {line}\n".encode(errors="replace")
        self.log.add(0, data)
        self.sinks[1].say(data)

    # ------------------------------------------------------------------------------------------------ start

    def _script_env(self) -> dict[str, str]:
        env = dict(self.env)
        env.pop("RUNWRIGHT_RESUME_FROM", None)
        if self.done_file and os.path.exists(self.done_file):
            os.remove(self.done_file)
            self._early.append(f"removed {self.done_file}, left by something before this script")
        found = self._checkpoint(self._early.append)
        if found:
            env["RUNWRIGHT_RESUME_FROM"] = self.told["resumedFrom"] = found.path
            step = f" (step {found.step})" if found.step is not None else ""
            self._early.append(f"resuming from {found.path}{step}")
        if env.get("RUNWRIGHT_AUTOLOG", "").lower() in ("1", "true"):
            beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "autolog")
            hook = env.get("RUNWRIGHT_AUTOLOG_DIR", beside)
            if os.path.isdir(hook):
                env["PYTHONPATH"] = os.pathsep.join(filter(None, (hook, env.get("PYTHONPATH"))))
            else:
                self._early.append(f"no autologging: {hook} does not exist")
        return env

    def _checkpoint(self, say: Callable[[str], None]) -> Checkpoint | None:
        if not self.checkpoints:
            return None
        try:
            return newest_checkpoint(self.checkpoints)
        except OSError as error:
            say(f"checkpoints in {self.checkpoints} cannot be read: {error.strerror}")
            return None

    def _start_capture(self) -> None:
        """Record the environment, once per attempt, in a process of its own."""
        if self.node != "0" or not self.artifacts.tracked or not sys.executable:
            return
        own = [sys.executable, "-I", "-S", os.path.abspath(sys.argv[0]), "--capture", "--", *self.command]
        try:
            self.capture = spawn(own, self.env, 1, 2)
        except OSError as error:
            self._early.append(f"the environment cannot be recorded: {error.strerror}")

    # ------------------------------------------------------------------------------------------------ watch

    def _watch(self) -> None:
        """Pass signals on until the script has ended."""
        own, _whole = self.grace
        uploading = False
        while self.status is None:
            now = time.monotonic()
            wait = 3600.0
            if self.terminated is not None and not self.killed:
                wait = self.terminated + own - now
                if wait <= 0:
                    self.say(f"the script did not end within {own:g} s of SIGTERM: killing it")
                    self._kill_all()
                    self.killed = True
                    continue
                if not uploading:
                    wait = min(wait, self.terminated + EARLY_UPLOAD_SECONDS - now)
                    if wait <= 0:
                        uploading = True
                        self._in_background(self._upload_log)
                        continue
            for number in self.signals.wait(wait):
                self._signal(number)

    def _signal(self, number: int) -> None:
        self._reap()
        # A script that had ended by itself before SIGTERM came was not stopped by it.
        if number == signal.SIGCHLD or self.status is not None:
            return
        send(number, [self.script])
        if number == signal.SIGTERM and self.terminated is None:
            self.terminated = time.monotonic()
            self.say(f"got SIGTERM: the script has {self.grace[0]:g} s to end")

    def _reap(self) -> None:
        for pid, status in reap():
            if pid == self.script and self.status is None:
                self.status = status
            elif pid == self.capture:
                self.capture = 0
                self.captured = status == 0

    def _kill_all(self) -> None:
        send_group(signal.SIGKILL, self.script)
        send(signal.SIGKILL, descendants(but=self.capture))

    def _clear(self) -> None:
        """End what the script left behind: at once, or after SIGTERM as gently as the script itself."""
        own, _whole = self.grace
        asked: set[int] = set()
        while self.terminated is not None and time.monotonic() < self.terminated + own:
            left = set(descendants(but=self.capture))
            if not left:
                break
            send(signal.SIGTERM, sorted(left - asked))
            asked |= left
            self.signals.wait(TICK_SECONDS)
            self._reap()
        give_up_at = time.monotonic() + KILL_SECONDS
        self._kill_all()
        while descendants(but=self.capture) and time.monotonic() < give_up_at:
            self._kill_all()
            self.signals.wait(TICK_SECONDS / 10)
            self._reap()
        self._reap()

    # ------------------------------------------------------------------------------------------------ end

    @property
    def _end_by(self) -> float:
        """When we must be gone, on the monotonic clock."""
        whole = self.grace[1]
        return float("inf") if self.terminated is None else self.terminated + whole - min(1.0, whole / 10)

    def _drain(self) -> None:
        """Wait until all output is passed on, as long as it moves."""
        moved, since = -1, time.monotonic()
        while not self.pump.ended:
            now = time.monotonic()
            if self.pump.moved != moved:
                moved, since = self.pump.moved, now
            if now > since + STALL_SECONDS or now > self._end_by:
                self.pump.abandon()
                self.say("some output was not passed on: it was not read, or a process still holds it open")
                return
            self.signals.wait(TICK_SECONDS)
            self._reap()

    def _judge(self, status: int) -> int:
        """Say how the script ended; returns the container's exit code."""
        code = exit_code(status)
        kills = out_of_memory_kills() - self._kills_before
        how = f"the script exited with code {code}"
        if os.WIFSIGNALED(status):
            how = f"the script was killed by {signal_name(os.WTERMSIG(status))} (exit code {code})"
        if kills > 0:
            how += "; the kernel killed a process for the memory limit: raise resourcesPerNode.memory or use less"
        done = bool(self.done_file) and os.path.exists(self.done_file)
        terminated = self.terminated is not None
        self.told.update(exitCode=code, terminated=terminated, done=done, outOfMemory=max(0, kills) or None)
        if terminated and not done:
            how += f"; it was stopped by SIGTERM, so the exit code is {TERMINATED}"
            code = TERMINATED
        if code or terminated or kills > 0:
            self.say(how)
        return code

    def _in_background(self, work: Callable[[], None]) -> Any:
        import threading

        def working() -> None:
            work()
            self.signals.wake()

        thread = threading.Thread(target=working, daemon=True)
        thread.start()
        return thread

    def _record(self) -> None:
        """Upload the log and look for the last checkpoint, no longer than agreed."""
        give_up_at = min(time.monotonic() + self._seconds("RUNWRIGHT_UPLOAD_SECONDS", UPLOAD_SECONDS), self._end_by)
        if self.artifacts.tracked:
            self.told["problem"] = "the tracking server did not answer in time"
        works = [self._in_background(self._upload_log), self._in_background(self._last_checkpoint)]
        while time.monotonic() < min(give_up_at + ANSWER_SECONDS, self._end_by):
            working = any(work.is_alive() for work in works)
            # A server that took no log will not take the environment either.
            if not working and not (self.capture and "log" in self.told):
                break
            self.signals.wait(TICK_SECONDS)
            self._reap()
        if self.capture:
            # It leads a session of its own, with whatever it asks.
            send_group(signal.SIGKILL, self.capture)
        self.told["environment"] = self.captured
        if self.told.get("problem"):
            self.say(f"the log was not uploaded: {self.told['problem']}")

    def _upload_log(self) -> None:
        if not self.artifacts.tracked:
            return
        content, cut = self.log.snapshot()
        path = f"logs/attempt-{self.env.get('RUNWRIGHT_ATTEMPT', '1')}/node-{self.node}.log"
        give_up_at = min(time.monotonic() + self._seconds("RUNWRIGHT_UPLOAD_SECONDS", UPLOAD_SECONDS), self._end_by)
        try:
            self.artifacts.put(path, content, give_up_at)
        except ArtifactsError as error:
            self.told["problem"] = str(error)
        else:
            self.told.update(log={"path": path, "bytes": len(content), "cut": cut}, problem="")

    def _last_checkpoint(self) -> None:
        found = self._checkpoint(lambda _problem: None)
        if found:
            self.told["checkpoint"] = {"path": found.path, "step": found.step, "time": round(found.changed, 3)}

    def _tell(self, output: bytes) -> None:
        path = self.env.get("RUNWRIGHT_TERMINATION_LOG", TERMINATION_LOG)
        try:
            tail = int(self.env.get("RUNWRIGHT_LOG_TAIL_BYTES", TAIL_BYTES))
        except ValueError:
            tail = TAIL_BYTES
        said = self.told.pop("message", "") or script_message(path)
        write_message(path, encoded({**self.told, "message": said}, output, tail))


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Launch, or capture; returns the exit code."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:2])
        os.write(2, f"[runwright] the image's python3 is {found}, and must be 3.8 or newer\n".encode())
        return NOT_EXECUTABLE
    capturing = arguments[:1] == ["--capture"]
    command = list(arguments[1:] if capturing else arguments)
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        os.write(2, b"[runwright] there is no command to start: set spec.command\n")
        return NOT_FOUND
    if capturing:
        return capture(command, env)
    # Numbers 0 to 2 must not go to a pipe of ours.
    free = 0
    while free <= 2:  # noqa: PLR2004  # stdin, stdout, stderr
        free = os.open(os.devnull, os.O_RDWR)
    os.close(free)
    return Launcher(command, env).run()


if __name__ == "__main__":
    os._exit(main(sys.argv[1:], os.environ))  # at once, whatever a thread still waits for
