"""A real `mlflow server` (the version in uv.lock) on a free port, for contract tests and local work.

SQLite and the artifacts live in the directory given; one worker and no job execution, as the chart runs it.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from runwright.ports import Key, TrackingServer

START_DEADLINE_SECONDS = 240.0
"""Start takes 5 s on an idle machine, and took 84 s on one with a load of four per core."""


def free_port() -> int:
    """Return a TCP port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MLflowServer:
    """Starts, kills, pauses and restarts one MLflow server on a fixed port.

    Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(self, directory: Path, *, port: int | None = None, allowed_hosts: str | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.allowed_hosts = allowed_hosts
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Base URL, e.g. ``http://127.0.0.1:40001``."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def scheme(self) -> str:
        """The URI's."""
        return "http"

    @property
    def verify(self) -> bool | str:
        """What `requests` trusts."""
        return True

    @property
    def tracking(self) -> TrackingServer:
        """How the operator and the pods find it."""
        return TrackingServer(self.uri)

    async def read_secret(self, key: Key) -> Mapping[str, str] | None:
        """Read a Secret; it has none."""
        raise AssertionError(key)

    @property
    def log_path(self) -> Path:
        """The server's own output."""
        return self.directory / "mlflow.log"

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self._launch((), {})

    def _launch(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        env = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self.directory}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.directory / "artifacts"),
            **environment,
        }
        if self.allowed_hosts is not None:
            env["MLFLOW_SERVER_ALLOWED_HOSTS"] = self.allowed_hosts
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", *arguments]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=env, cwd=self.directory, stdout=log, stderr=log, start_new_session=True
            )

    def start(self) -> Self:
        """Start and wait until ``/health`` answers.

        Raises:
            RuntimeError: it ended or did not answer in time; the message holds the end of its log.
        """
        self.launch()
        self.wait_healthy()
        return self

    def wait_healthy(self) -> None:
        """Wait until ``/health`` answers 200."""
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                break
            try:
                if requests.get(f"{self.uri}/health", timeout=1, verify=self.verify).ok:
                    return
            except requests.RequestException:
                time.sleep(0.05)  # between two looks at the condition
        tail = self.log_path.read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"mlflow server did not become healthy on {self.uri}; its log ends with:\n{tail}")

    async def restart(self) -> None:
        """Start again after `kill` or `stop`, without blocking the event loop."""
        await asyncio.to_thread(self.start)

    def _signal(self, number: int) -> None:
        # The server is a session of its own (CLI parent and uvicorn worker): the group gets the signal.
        if self._process is not None and self.running:
            os.killpg(self._process.pid, number)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and never answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: open connections are reset, new ones refused."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after 10 s."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        group = process.pid
        try:
            if process.poll() is None:
                os.killpg(group, number)
                os.killpg(group, signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)  # the worker, should it have outlived the CLI parent
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
