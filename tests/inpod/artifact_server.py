"""A small HTTP server in the artifact proxy's place, for what is not about MLflow: refusals, silence, TLS, passwords.

`tests/contract/inpod` has the same launcher against MLflow itself.
"""

import http.server
import json
import ssl
import threading
from types import TracebackType
from typing import Self

RUN = "0123456789abcdef0123456789abcdef"
STORE = "/api/2.0/mlflow-artifacts/artifacts/"


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


class ArtifactServer:
    """Keeps what is PUT; fails as told.

    Attributes:
        stored: Content by path below the proxy's root.
        answers: Statuses of the next PUTs; 0 never answers, a negative one answers and hangs up
            without reading what is sent. Then 200.
        requests: Method and path of every request, in order.
        authorization: The header without which a PUT gets 401.
        artifact_uri: Where ``runs/get`` says that the run keeps its artifacts.
        run_answer: What it says instead.
    """

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        self.stored: dict[str, bytes] = {}
        self.answers: list[int] = []
        self.requests: list[tuple[str, str]] = []
        self.authorization = ""
        self.artifact_uri = f"mlflow-artifacts:/7/{RUN}/artifacts"
        self.run_answer = b""
        self.released = threading.Event()
        self.lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def uri(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        return {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_RUN_ID": RUN, "RUNWRIGHT_NODE": "1"}

    def of_run(self, path: str) -> bytes:
        """An artifact of the run."""
        return self.stored[f"7/{RUN}/artifacts/{path}"]

    def log(self, node: int = 1) -> bytes:
        return self.of_run(f"logs/attempt-1/node-{node}.log")

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(("GET", self.path))
                self.answer(200, outer.run_answer or _json({"run": {"info": {"artifact_uri": outer.artifact_uri}}}))

            def do_PUT(self) -> None:
                with outer.lock:
                    outer.requests.append(("PUT", self.path))
                    status = outer.answers.pop(0) if outer.answers else 200
                if status == 0:
                    outer.released.wait()
                    self.close_connection = True
                    return
                if status < 0:
                    self.close_connection = True
                    self.answer(-status, b"too large")
                    return
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.authorization and self.headers.get("Authorization") != outer.authorization:
                    status = 401
                if status == 200:
                    outer.stored[self.path.removeprefix(STORE)] = content
                refusal = {"error_code": "INTERNAL_ERROR", "message": "as told"}
                self.answer(status, _json({} if status == 200 else refusal))

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
