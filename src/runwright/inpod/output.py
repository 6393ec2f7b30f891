"""The script's output: passed on as it comes, and its beginning and end kept in memory for the upload.

In memory, because a file would have to lose lines where the disk is slow or full. It never holds up the script longer
than its reader (the container runtime) does.
"""

# imports that cost milliseconds wait until the script runs
# ruff: noqa: PLC0415

from __future__ import annotations

import errno
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG_BYTES = 16 << 20
"""Kept at most: half for the beginning, half for the end."""
LOG_BYTES_LEAST = 1 << 20
LOG_SHARE_OF_MEMORY = 32
"""The log takes at most this part of the container's memory limit."""
READ_BYTES = 1 << 16
"""A pipe's usual capacity."""
PIPE_BYTES = 1 << 20
"""What a pipe may be enlarged to without privilege (/proc/sys/fs/pipe-max-size)."""
LINE_BYTES = 1 << 16
"""Longer lines may be interrupted by the other stream's."""
SAY_SECONDS = 0.5
"""A message of ours waits no longer for a reader that stalls."""


class BoundedLog:
    """The first and the last bytes of what two streams wrote, whole lines in the order in which they came.

    Args:
        limit: Bytes to keep in all.
    """

    def __init__(self, limit: int) -> None:
        import threading

        self.total = 0
        """Bytes seen, without the unfinished lines."""
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._ring = bytearray()
        self._unfinished: dict[int, bytearray] = {}
        self._lock = threading.Lock()

    def add(self, stream: int, data: bytes) -> None:
        """Take what a stream wrote; its last line waits for its end, lest it be mixed with the other stream's."""
        with self._lock:
            waiting = self._unfinished.setdefault(stream, bytearray())
            # A progress bar draws its line anew after a carriage return.
            end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            if end == 0 and len(waiting) + len(data) <= LINE_BYTES:
                waiting += data
                return
            if waiting:
                self._keep(bytes(waiting))
                waiting.clear()
            end = end or len(data)
            self._keep(data[:end])
            waiting += data[end:]

    def _keep(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
        rest = memoryview(data)[max(room, 0) :]
        if rest:
            if not self._ring:
                self._ring = bytearray(self._half)  # the kernel gives its pages as they are written
            at = max(self.total - self._half, 0) + max(len(rest) - self._half, 0)
            rest = rest[-self._half :]
            at %= self._half
            first = min(len(rest), self._half - at)
            self._ring[at : at + first] = rest[:first]
            self._ring[: len(rest) - first] = rest[first:]
        self.total += len(data)

    def snapshot(self) -> tuple[bytes, int]:
        """Everything, or the beginning, a marker and the end, both cut between lines; and how many bytes are cut."""
        with self._lock:
            head, tail = bytes(self._head), self._tail()
            total = self.total
            unfinished = b"".join(bytes(line) for line in self._unfinished.values())
        cut = total - len(head) - len(tail)
        if cut == 0:
            return head + tail + unfinished, 0
        head = head[: head.rfind(b"\n", -LINE_BYTES) + 1 or len(head)]
        tail = tail[tail.find(b"\n", 0, LINE_BYTES) + 1 :]
        cut = total - len(head) - len(tail)
        newline = b"" if head.endswith(b"\n") else b"\n"
        marker = b"%s[runwright] %d bytes of output are left out here\n" % (newline, cut)
        return head + marker + tail + unfinished, cut

    def _tail(self) -> bytes:
        beyond = self.total - len(self._head)
        if beyond <= self._half:
            return bytes(self._ring[:beyond])
        at = beyond % self._half
        return bytes(self._ring[at:] + self._ring[:at])

    def last(self, limit: int) -> bytes:
        """Return the last bytes seen, at most `limit`."""
        with self._lock:
            unfinished = b"".join(bytes(line) for line in self._unfinished.values())
            end = bytes(self._head[-limit:]) + self._tail()[-limit:] + unfinished
        return end[-limit:] if limit > 0 else b""


class Sink:
    """One of our own outputs. What cannot be written to it (closed, disk full) is dropped; that never raises."""

    def __init__(self, fd: int, *, on_problem: Callable[[str], None]) -> None:
        import threading

        self.fd = fd
        self._on_problem = on_problem
        self._told = False
        self._closed = False
        self._mid_line = False
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Write all of `data`, however long the reader takes."""
        with self._lock:
            problem = self._write(data)
        if problem and not self._told:
            self._told = True
            self._on_problem(problem)

    def say(self, line: bytes) -> None:
        """Write a line of our own (under 4 KiB), unless the reader stalls."""
        if not self._lock.acquire(timeout=SAY_SECONDS):
            return
        try:
            # A pipe that polls as writable has room for 4 KiB.
            if select.select([], [self.fd], [], SAY_SECONDS)[1]:
                self._write((b"\n" if self._mid_line else b"") + line)
        except (OSError, ValueError):
            return
        finally:
            self._lock.release()

    def _write(self, data: bytes) -> str:
        if self._closed or not data:
            return ""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.fd, left) :]
            except BlockingIOError:  # somebody made the pipe non-blocking
                select.select([], [self.fd], [])
            except OSError as error:
                self._closed = error.errno != errno.ENOSPC  # a disk may get room again
                name = "stdout" if self.fd == 1 else "stderr"
                return f"{name} cannot be written ({os.strerror(error.errno or 0)}): output is missing there"
        self._mid_line = not data.endswith((b"\n", b"\r"))
        return ""


class Pump:
    """Reads the script's streams in a thread of its own: into the log first, then on to their sinks.

    Of two streams that both have something, the first goes first: a traceback follows the output before it.
    """

    def __init__(self, streams: Mapping[int, Sink], log: BoundedLog, on_end: Callable[[], None]) -> None:
        import threading

        self.moved = 0
        """Bytes passed on."""
        self.ended = False
        self._streams, self._log, self._on_end = dict(streams), log, on_end
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def abandon(self) -> None:
        """Pass on nothing more: what still waits in the pipes goes into the log alone."""
        self._abandoned = True
        for source, sink in self._streams.items():
            os.set_blocking(source, False)
            while True:
                try:
                    data = os.read(source, READ_BYTES)
                except OSError:
                    break
                if not data:
                    break
                self._log.add(sink.fd, data)

    def _run(self) -> None:
        left = dict(self._streams)
        while left and not self._abandoned:
            for source in select.select(list(left), [], [])[0]:
                if not self._pass_on(source, left[source]):
                    del left[source]
        self.ended = True
        self._on_end()

    def _pass_on(self, source: int, sink: Sink) -> bool:
        """Pass on as much as a pipe holds; False at the stream's end."""
        end = self.moved + PIPE_BYTES
        while self.moved < end and not self._abandoned and select.select([source], [], [], 0)[0]:
            try:
                data = os.read(source, READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                return False
            if not data:
                return False
            self._log.add(sink.fd, data)
            sink.write(data)
            self.moved += len(data)
        return True


def output_pipe() -> tuple[int, int]:
    """A pipe for one of the script's outputs, large enough that a short stall of ours does not hold it up."""
    reading, writing = os.pipe()
    try:
        import fcntl

        fcntl.fcntl(writing, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
    except (ImportError, OSError):
        pass  # the usual 64 KiB will do
    return reading, writing


def log_limit(memory_limit: int | None) -> int:
    """Bytes of log to keep, given the container's memory limit in bytes (None: there is none)."""
    if memory_limit is None:
        return LOG_BYTES
    return max(LOG_BYTES_LEAST, min(LOG_BYTES, memory_limit // LOG_SHARE_OF_MEMORY))
