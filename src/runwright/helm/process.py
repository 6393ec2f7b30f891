"""Runs the helm binary: its environment, how long it may take, how it ends, and what its errors mean."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from runwright.errors import ClusterUnavailableError
from runwright.helm import bound
from runwright.helm.messages import error_of

RUN_SECONDS: Final = 120.0
"""An action here waits for no pod: it is some dozens of requests. Beyond this the API server hardly answers."""
GRACE_SECONDS: Final = 10.0
"""From SIGTERM, on which helm records the release as failed, to SIGKILL."""
AT_ONCE: Final = 2
"""helm processes at a time: each takes some 80 MB of the pod's memory limit."""
MEMORY: Final = "64MiB"
"""GOMEMLIMIT of helm: its garbage collector works harder near it."""
DRIVER: Final = "configmap"
"""Records in ConfigMaps: no right on Secrets is needed for them."""


class Helm:
    """The helm binary.

    Args:
        program: Path, or name on PATH.
        kubeconfig: What the API server is reached with, as in KUBECONFIG; empty in a pod, whose ServiceAccount helm
            finds by itself.
        run_seconds: How long a run may take.
        grace_seconds: How long it may take to end after SIGTERM.
    """

    def __init__(
        self,
        program: str,
        kubeconfig: str = "",
        *,
        run_seconds: float = RUN_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._program = program
        self._kubeconfig = kubeconfig
        self._run_seconds = run_seconds
        self._grace_seconds = grace_seconds
        self._home: Path | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)

    def close(self) -> None:
        """Remove helm's temporary files."""
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """Run helm and return its standard output.

        Cancelled, it ends helm with SIGTERM and waits for that: helm gets to record the release as failed.

        Raises:
            ClusterUnavailableError: helm could not reach the API server, was killed or took too long.
            RefusedError: helm or the API server refused; the message is helm's own, in one line.
        """
        async with self._slots:
            home = self._made_home()
            # Files, not pipes: when the operator dies, the next word to a pipe would kill helm (SIGPIPE) before it
            # could record the release as failed.
            with tempfile.TemporaryFile(dir=home) as told, tempfile.TemporaryFile(dir=home) as errors:
                process = await self._start(arguments, home, told, errors)
                try:
                    async with asyncio.timeout(self._run_seconds):
                        await process.communicate(stdin.encode(errors="replace"))
                except TimeoutError:
                    message = f"helm {arguments[0]} did not end within {self._run_seconds:g} s; it was stopped"
                    raise ClusterUnavailableError(message) from None
                finally:
                    await self._end(process)
                if process.returncode:
                    raise error_of(arguments[0], process.returncode, _content(errors))
                return _content(told)

    def _made_home(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="runwright-helm-"))
        return self._home

    async def _start(
        self, arguments: Sequence[str], home: Path, told: IO[bytes], errors: IO[bytes]
    ) -> asyncio.subprocess.Process:
        starter = (sys.executable, "-I", "-S", bound.__file__, str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *starter,
            self._program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=told,
            stderr=errors,
            env=environment(os.environ, self._kubeconfig, home),
            start_new_session=True,  # a Ctrl-C is for the operator, which ends helm in its own time
        )

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """See to it that no process is left, whatever cancels this."""
        if process.returncode is not None:
            return
        ending = asyncio.ensure_future(self._terminate(process))
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError as error:  # once more: helm's end is near, and bounded
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _terminate(self, process: asyncio.subprocess.Process) -> None:
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace_seconds):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()


def environment(inherited: Mapping[str, str], kubeconfig: str, home: Path) -> dict[str, str]:
    """Make helm's environment: nothing of a user's own helm settings, plugins or repositories counts."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(("HELM_", "RUNWRIGHT_"))}
    kept.pop("KUBECONFIG", None)
    # In a pod HOME must hold no kubeconfig, which helm would prefer; outside, exec plugins need the user's.
    identity = {"KUBECONFIG": kubeconfig} if kubeconfig else {"HOME": str(home)}
    return {
        "GOMEMLIMIT": MEMORY,
        **kept,
        **identity,
        "HELM_DRIVER": DRIVER,
        "HELM_CACHE_HOME": str(home / "cache"),
        "HELM_CONFIG_HOME": str(home / "config"),
        "HELM_DATA_HOME": str(home / "data"),
        "HELM_PLUGINS": str(home / "plugins"),
        "KUBECACHEDIR": str(home / "kube"),
    }


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the process and what it started (a kubeconfig's exec plugin)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
