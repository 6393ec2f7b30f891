"""The operator process, from settings to exit code."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, Final, cast

import kopf
import uvloop

from runwright.errors import ConfigurationError, RunwrightError
from runwright.kube.client import Client
from runwright.kube.connection import Connection
from runwright.kube.lease import LeaseLostError
from runwright.operator import logs
from runwright.operator import settings as settings_module
from runwright.operator.handlers import build_registry, build_settings
from runwright.operator.metrics import Metrics
from runwright.operator.preflight import own_account, preflight
from runwright.operator.probes import ProbeServer
from runwright.operator.settings import Settings
from runwright.operator.wiring import Parts

logger = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 20.0
"""For reconciles in work at SIGTERM; with what follows, helm's end included, below the chart's grace period of 45 s."""
STOP_SECONDS: Final = 5.0
"""For the watches to end."""


class WatchesEndedError(RunwrightError):
    """kopf gave up watching; only a new process starts it again."""


def run() -> int:
    """Run the operator until SIGTERM or SIGINT.

    Returns:
        The process's exit code: 0 after a stop that was asked for, 1 otherwise.
    """
    try:
        settings = settings_module.read()
    except ConfigurationError as error:
        sys.stderr.write(f"runwright operator: {error}\n")
        return 1
    logs.configure(settings.log_level, settings.log_format)
    for name in settings_module.unknown():
        logger.warning("The variable %s means nothing to the operator", name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_guarded(settings))


async def _guarded(settings: Settings) -> int:
    """Turn what ends the operator into one log line and an exit code."""
    try:
        await Operator(settings).run()
    except RunwrightError as error:
        logger.critical("%s", error)
        return 1
    except Exception:
        logger.critical("The operator ends because of a bug", exc_info=True)
        return 1
    return 0


class Operator:
    """One operator process; `run` goes through its life in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start, work until told to stop, and leave nothing behind.

        Raises:
            ConfigurationError: the operator cannot work as it is installed.
            LeaseLostError: another operator may be at work.
            WatchesEndedError: the watches cannot go on.
        """
        self._catch_signals()
        async with contextlib.AsyncExitStack() as stack:
            probes = ProbeServer(self._metrics.registry, self._settings.http_port)
            port = await probes.start()
            stack.push_async_callback(probes.aclose)
            logger.info("Serving /healthz, /readyz and /metrics on port %d", port)
            client = Client(await Connection.open(), self._metrics.requested)
            stack.push_async_callback(client.close)
            uid = await self._unless_stopped(preflight(client, self._settings))
            if uid is None:
                return
            account = await own_account(client, self._settings.lease_namespace)
            parts = Parts(client, self._settings, self._metrics, uid, account)
            probes.health = parts.health
            stack.push_async_callback(parts.trackers.aclose)
            stack.callback(parts.helm.close)
            if await self._unless_stopped(_true(parts.lease.acquire())):
                await self._lead(parts, client, probes)

    async def _lead(self, parts: Parts, client: Client, probes: ProbeServer) -> None:
        """Work while the Lease is held."""
        parts.cluster.start()
        loops = [
            asyncio.create_task(parts.lease.renew(), name="lease"),
            *(asyncio.create_task(queue.run(), name=f"queue of {queue.kind.plural}") for queue in parts.queues),
            asyncio.create_task(self._stopping.wait(), name="stop"),
        ]
        if parts.default_stack is not None:
            loops.append(asyncio.create_task(parts.default_stack.run(), name="default stack"))
        stop_kopf = asyncio.Event()
        kopf_task = await self._watch(parts, client, stop_kopf)
        loops += [kopf_task, asyncio.create_task(self._open(parts), name="resync")]
        failure: BaseException | None = None
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            failure = _failure(loops, kopf_task)
        finally:
            parts.health.ready = False
            lost = isinstance(failure, LeaseLostError)
            if not lost:
                logger.info("Stopping: letting what is in work finish")
            await asyncio.gather(*(queue.drain(0 if lost else DRAIN_SECONDS) for queue in parts.queues))
            await parts.cluster.aclose(0 if lost else 2)
            await _cancel(task for task in loops if task is not kopf_task)
            await parts.lease.release()  # nothing more is written: the next operator may begin
            await parts.trackers.aclose()
            await probes.aclose()
            # kopf waits for every task that began after it, so it is the last to go.
            stop_kopf.set()
            await asyncio.wait([kopf_task], timeout=STOP_SECONDS)
            await _cancel([kopf_task])
        if failure is not None:
            raise failure

    async def _watch(self, parts: Parts, client: Client, stop: asyncio.Event) -> asyncio.Task[None]:
        """Start kopf; the task ends when its watches do."""
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=build_registry(client.connection, parts.streams, parts.inbox.event),
            settings=build_settings(),
            standalone=True,
            # kopf would ask for the user's name, which an image without an entry for its uid does not have.
            identity=cast("Any", self._settings.pod_name),
            clusterwide=not self._settings.watch_namespaces,
            namespaces=self._settings.watch_namespaces,
            stop_flag=stop,
        )
        self._catch_signals()  # kopf has just replaced ours
        parts.health.watching = True
        return asyncio.create_task(kopf.run_tasks(tasks, ignored=ours), name="kopf")

    async def _open(self, parts: Parts) -> None:
        """Open the queues once everything was seen, then re-list for ever.

        The LISTs follow the opening of the watches, so that nothing can vanish unseen between the two.
        """
        await parts.streams.opened.wait()
        await parts.resync.first()
        for queue in parts.queues:
            queue.open()
        parts.health.ready = True
        logger.info("Ready: all watches are open and everything was listed")
        await parts.resync.run()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _unless_stopped(self, work: Coroutine[Any, Any, str]) -> str | None:
        """Wait for `work`; None when the operator is told to stop before."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            await _cancel([task, stop])


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)


async def _true(work: Coroutine[Any, Any, None]) -> str:
    await work
    return "done"


def _failure(loops: list[asyncio.Task[Any]], kopf_task: asyncio.Task[None]) -> BaseException | None:
    """Say why the first loop ended; None when it was the stop."""
    for task in loops:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            if task is kopf_task:
                return WatchesEndedError(f"The watches ended: {error!r}")
            return error
    if kopf_task.done():
        return WatchesEndedError("The watches ended without a reason")
    return None
