"""A TCP proxy that breaks connections off in the middle of what the server answers, or holds them up."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Proxy:
    """Forwards to a port on loopback.

    Attributes:
        target: The port.
        cut_after: Answers longer than so many bytes break off there...
        cuts: ... so many times.
        gate: While it is not set, nothing passes beyond `hold_after` bytes of all answers.
        hold_after: See `gate`.
        passed: Bytes of answers so far.
        held: Set when something waits at the gate.
    """

    target: int
    cut_after: int = 1 << 60
    cuts: int = 0
    hold_after: int = 1 << 60
    gate: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            self._close(one)
        for thread in self._threads:
            thread.join(30)

    def release(self) -> None:
        """Hold nothing up any more, and count from zero."""
        with self._lock:
            self.hold_after, self.passed = 1 << 60, 0
        self.gate.set()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self._open |= {client, server}
            self._start(self._forward, client, server)
            self._start(self._answer, server, client)

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self._close(source, target)

    def _answer(self, source: socket.socket, target: socket.socket) -> None:
        came = 0
        try:
            while data := source.recv(65536):
                came += len(data)
                with self._lock:
                    self.passed += len(data)
                    cut = came > self.cut_after and self.cuts > 0
                    self.cuts -= cut
                    hold = self.passed > self.hold_after
                if hold:
                    self.held.set()
                    self.gate.wait(120)
                if cut:
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        except OSError:
            pass
        self._close(source, target)
