"""The operator as a process of its own, as the chart runs it: started, watched, paused, stopped, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.controlplane import free_ports

START_DEADLINE_SECONDS = 90.0
"""Start takes 3 s on an idle machine; the rest is for loaded ones."""
STOP_DEADLINE_SECONDS = 40.0
COMMAND = (sys.executable, "-m", "runwright", "operator")


class OperatorProcess:
    """One operator process. Use it as a context manager (starts and waits until ready), or call the methods.

    Args:
        kubeconfig: Who it is and where the API server is.
        directory: Where its log goes.
        environ: Settings (``RUNWRIGHT_*``), over the test's own environment without such.
        command: What to run instead of ``runwright operator``.
    """

    def __init__(
        self,
        kubeconfig: Path,
        directory: Path,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.port = free_ports(1)[0]
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / f"operator-{self.port}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
        self._environ = {
            **inherited,
            "KUBECONFIG": str(kubeconfig),
            "RUNWRIGHT_HTTP_PORT": str(self.port),
            "RUNWRIGHT_POD_NAME": f"operator-{self.port}",
            "RUNWRIGHT_LOG_LEVEL": "DEBUG",
            "PYTHONWARNINGS": "default",
            **(environ or {}),
        }
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the process without waiting for it."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)
        return self

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        assert self._process is not None, "not started"
        return self._process.pid

    def wait_ready(self, seconds: float = START_DEADLINE_SECONDS) -> Self:
        """Wait until ``/readyz`` answers 200."""
        self.wait_for(lambda: self.probe("readyz")[0] == requests.codes.ok, "readiness", seconds)
        return self

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = START_DEADLINE_SECONDS) -> None:
        """Wait until `condition()` is true while the process lives.

        Raises:
            AssertionError: it was not in time, or the process ended; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self._process is None or self._process.poll() is not None
            assert not ended, f"the operator ended before: {what}\n{self.tail()}"
            assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for: {what}\n{self.tail()}"
            time.sleep(0.05)  # between two looks at the condition

    def probe(self, name: str, seconds: float = 5.0) -> tuple[int, dict[str, Any]]:
        """Ask ``/healthz`` or ``/readyz``: status and body; (0, {}) when nothing answers."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/{name}", timeout=seconds)
        except requests.RequestException:
            return 0, {}
        body: dict[str, Any] = answer.json()
        return answer.status_code, body

    def metric(self, name: str, **labels: str) -> float:
        """Sum the samples of a metric that have these labels."""
        text = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def logged(self) -> list[dict[str, Any]]:
        """Return the log so far; every line is a JSON object."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def tail(self) -> str:
        """Return the end of the log as text."""
        return self.log_path.read_text(errors="replace")[-4000:]

    def wait_exit(self, seconds: float = STOP_DEADLINE_SECONDS) -> int:
        """Wait until the process has ended; returns its exit code."""
        assert self._process is not None, "not started"
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the operator did not end within {seconds:g} s\n{self.tail()}") from None

    def restart_if_ended(self) -> None:
        """Do what the kubelet does to a container that ended, and wait until it is ready."""
        if self._process is not None and self._process.poll() is not None:
            self.start()
        self.wait_ready()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.send(signal.SIGTERM)
        return self.wait_exit()

    def kill(self) -> None:
        """SIGKILL: no shutdown of any kind."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self.wait_exit()

    def pause(self) -> None:
        """SIGSTOP: not scheduled any more, connections stay open."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self.send(signal.SIGCONT)

    def send(self, number: int) -> None:
        """Send a signal, if the process was started and still lives."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self.kill()
