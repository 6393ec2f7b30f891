"""A small HTTP server on loopback: answers every GET with keys, as the agent of EKS Pod Identity does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Identity:
    """Gives out these keys."""

    def __init__(self, access: str, secret: str) -> None:
        answer = {"AccessKeyId": access, "SecretAccessKey": secret, "Token": "", "Expiration": "2099-01-01T00:00:00Z"}
        self._server = serve(json.dumps(answer).encode())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(answer: bytes, kind: str = "application/json") -> ThreadingHTTPServer:
    """Return a server that gives this answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class' name
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


class Listing(Identity):
    """An S3 service as far as listing goes: these keys, one byte each."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        entries = "".join(f'<Contents><Key>{key}</Key><Size>1</Size><ETag>"e"</ETag></Contents>' for key in keys)
        answer = f'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>'
        self._server = serve(answer.encode(), "application/xml")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return super().url.removesuffix("/keys")
