"""The submitter, a process of its own so that it does not hold up the watches: POSTs at once, or at a fixed pace."""

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

from tests.bench.client import Access
from tests.bench.workload import WORKLOADS
from tests.cluster.errors import ClusterError

_START_SECONDS = 60.0
_CREATED = 201


@dataclass(frozen=True)
class Order:
    """What to submit."""

    workload: str
    namespace: str
    names: tuple[str, ...]
    rate: float
    """Objects a second, in an open loop; 0: all at once."""
    threads: int = 32


@dataclass(frozen=True)
class Sent:
    """When each object was sent and answered, in seconds of the machine's monotonic clock."""

    times: dict[str, tuple[float, float]]

    @property
    def first(self) -> float:
        """When the first POST was sent."""
        return min(sent for sent, _ in self.times.values())

    @property
    def last(self) -> float:
        """When the last POST was answered."""
        return max(answered for _, answered in self.times.values())


class Submitter:
    """Waits, connected, for `go`."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def go(self, seconds: float) -> Sent:
        """Submit everything and return when it is answered.

        Raises:
            ClusterError: The server refused one, or it took more than `seconds`.
        """
        self._pipe.send("go")
        if not self._pipe.poll(seconds):
            raise ClusterError(f"submitting took more than {seconds:.0f} s")
        times, errors = self._pipe.recv()
        if errors:
            raise ClusterError(f"{len(errors)} objects were refused, the first: {errors[0]}")
        return Sent(times)


@contextmanager
def submitter(access: Access, order: Order) -> Iterator[Submitter]:
    """Start the process; it is connected and ready when this returns."""
    ours, theirs = multiprocessing.Pipe()
    # Not forked: this process has threads.
    process = multiprocessing.get_context("spawn").Process(target=_main, args=(access, order, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_START_SECONDS):
            raise ClusterError(f"the submitter did not start within {_START_SECONDS:.0f} s")
        ours.recv()
        yield Submitter(ours)
    finally:
        process.join(5)
        process.kill()
        process.join()
        ours.close()


def _main(access: Access, order: Order, pipe: Pipe) -> None:
    workload = WORKLOADS[order.workload]
    path = workload.path(order.namespace)
    todo: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    for item in enumerate(order.names):
        todo.put(item)
    times: dict[str, tuple[float, float]] = {}
    errors: list[str] = []
    threads = min(order.threads, len(order.names))
    ready, begin, start = threading.Barrier(threads + 1), threading.Event(), [0.0]

    def work() -> None:
        connection = access.connect()
        connection.open()
        ready.wait()
        begin.wait()
        while True:
            try:
                number, name = todo.get_nowait()
            except queue.Empty:
                connection.close()
                return
            body = workload.make(name)
            if order.rate:
                time.sleep(max(0.0, start[0] + number / order.rate - time.monotonic()))
            sent = time.monotonic()
            status, answer = connection.send("POST", path, body)
            times[name] = (sent, time.monotonic())
            if status != _CREATED:
                errors.append(f"{name}: {status}: {answer[:300].decode(errors='replace')}")

    workers = _start(work, threads)
    ready.wait()
    pipe.send("ready")
    pipe.recv()
    start[0] = time.monotonic()
    begin.set()
    for worker in workers:
        worker.join()
    pipe.send((times, errors))


def _start(work: Callable[[], None], number: int) -> Sequence[threading.Thread]:
    workers = [threading.Thread(target=work) for _ in range(number)]
    for worker in workers:
        worker.start()
    return workers
