"""The benchmark's own view of the API server: plain HTTP connections kept alive, and watches with arrival times."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import ClusterError

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_WATCH_SECONDS = 3600

Seen = Callable[[float, str, dict[str, Any]], None]


@dataclass(frozen=True)
class Access:
    """How the administrator reaches the API server; can be sent to another process."""

    host: str
    port: int
    ca: str
    certificate: str
    key: str

    @classmethod
    def to(cls, control_plane: ControlPlane) -> Self:
        """The administrator's access to a control plane."""
        url = urlsplit(control_plane.admin_url)
        keys = control_plane.authority
        return cls(
            url.hostname or "127.0.0.1",
            url.port or 443,
            str(control_plane.ca_file),
            str(keys.cert("admin")),
            str(keys.key("admin")),
        )

    def connect(self, seconds: float = 120.0) -> "Connection":
        """A connection whose reads time out after `seconds`."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return Connection(http.client.HTTPSConnection(self.host, self.port, context=context, timeout=seconds))


class Connection:
    """One connection; not for several threads."""

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self._connection = connection

    def open(self) -> None:
        """Shake hands now rather than with the first request."""
        self._connection.connect()

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """Send a request; an idle connection that the server closed is opened anew, except for a POST."""
        headers = {"Content-Type": content_type, "Accept": accept}
        data = None if body is None else json.dumps(body)
        try:
            answer = self._answer(method, path, data, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            if method == "POST":
                raise
            answer = self._answer(method, path, data, headers)
        return answer.status, answer.read()

    def read(self, path: str, accept: str = "application/json") -> dict[str, Any]:
        """GET an object or a list.

        Raises:
            ClusterError: The server refused.
        """
        status, data = self.send("GET", path, accept=accept)
        if status != http.client.OK:
            raise ClusterError(f"GET {path}: {status}: {data[:300].decode(errors='replace')}")
        found: dict[str, Any] = json.loads(data)
        return found

    def stream(self, path: str, accept: str) -> http.client.HTTPResponse:
        """Open a response that is read line by line."""
        answer = self._answer("GET", path, None, {"Accept": accept})
        if answer.status != http.client.OK:
            raise ClusterError(f"GET {path}: {answer.status}: {answer.read()[:300].decode(errors='replace')}")
        return answer

    def hang_up(self) -> None:
        """End the connection under a thread that reads from it."""
        if isinstance(found := self._connection.sock, socket.socket):
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _answer(self, method: str, path: str, data: str | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request(method, path, body=data, headers=headers)
        return self._connection.getresponse()


class Watch(threading.Thread):
    """A watch on a collection from now on; `seen(monotonic seconds, type, object)` is called in this thread."""

    def __init__(self, access: Access, path: str, seen: Seen, accept: str = "application/json") -> None:
        super().__init__(daemon=True, name=f"watch {path}")
        self.error: str = ""
        self._access, self._path, self._seen, self._accept = access, path, seen, accept
        self._stopped = False
        first = access.connect()
        self._version: str = first.read(f"{path}?limit=1", METADATA_LIST)["metadata"]["resourceVersion"]
        self._connection = first
        self.start()

    def run(self) -> None:
        """Read until `stop`; what breaks is in `error`."""
        while self._again():
            try:
                # The server may end a watch at any time; the next goes on where it ended.
                self._read(self._open())
            except (OSError, ValueError, http.client.HTTPException, ClusterError) as error:
                self.error = f"{self._path}: {error!r}" if self._again() else ""

    def stop(self) -> None:
        """Close the connection."""
        self._stopped = True
        self._connection.hang_up()
        self.join(10)
        self._connection.close()

    def _again(self) -> bool:
        return not self._stopped and not self.error

    def _open(self) -> http.client.HTTPResponse:
        self._connection.close()
        self._connection = self._access.connect(_WATCH_SECONDS)
        query = f"watch=1&resourceVersion={self._version}&timeoutSeconds={_WATCH_SECONDS}"
        return self._connection.stream(f"{self._path}?{query}", self._accept)

    def _read(self, response: http.client.HTTPResponse) -> None:
        while line := response.readline():
            arrived = time.monotonic()
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise ClusterError(str(event["object"].get("message")))
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._seen(arrived, event["type"], event["object"])
