"""Real Git servers on loopback: git-http-backend behind HTTPS with basic authentication, and sshd."""

import base64
import os
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.cluster.hostpackages import find
from tests.cluster.pki import Authority
from tests.cluster.shell import eventually, run
from tests.contract.fetch.system import git_backend
from tests.support.mlflow_server import free_port

USER, PASSWORD = "trainer", "t0ken/with+signs %20'\"$x"


@dataclass
class Trouble:
    """What the HTTPS server does wrong, while it is set.

    Attributes:
        old_protocol: Speak version 0, in which servers hand out only what they advertise.
        unavailable: So many requests are answered 503.
        cut: So many answers to a fetch break off in the middle.
        redirect: Base URL that every request is sent to instead.
        gate: While it is not set, fetches hang.
    """

    old_protocol: bool = False
    unavailable: int = 0
    cut: int = 0
    redirect: str = ""
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    root: Path
    private: bool
    trouble: Trouble
    requests: list[tuple[str, str | None]]
    waiting: threading.Event
    sent: list[int]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class' name
        """Say nothing."""

    def do_GET(self) -> None:  # http.server's name
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _plain(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self) -> None:
        server, trouble = self.server, self.server.trouble
        body = self._body()
        given = self.headers.get("Authorization")
        server.requests.append((self.path, given))
        if trouble.redirect:
            self._plain(302, Location=trouble.redirect + self.path)
            return
        if trouble.unavailable:
            trouble.unavailable -= 1
            self._plain(503)
            return
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if server.private and given != wanted:
            self._plain(401, WWW_Authenticate='Basic realm="git"')
            return
        self._git(body, cut=self.command == "POST" and bool(trouble.cut))

    def _git(self, body: bytes, *, cut: bool) -> None:
        parts = urlsplit(self.path)
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        if not self.server.trouble.old_protocol:
            environment["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        if self.command == "POST" and not self.server.trouble.gate.is_set():
            self.server.waiting.set()
            self.server.trouble.gate.wait(60)
        done = subprocess.run([git_backend()], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut and len(content) > 2000:
            self.server.trouble.cut -= 1
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content)
        self.server.sent.append(len(content))


class HttpsGit:
    """git-http-backend behind a small HTTPS server; private repositories want USER and PASSWORD."""

    def __init__(self, root: Path, authority: Authority, *, private: bool = True, tls: bool = True) -> None:
        authority.issue("git-server", "localhost", alternative_names="DNS:localhost,IP:127.0.0.1")
        self.authority = authority
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.root = root
        self._server.private = private
        self._server.trouble = self.trouble = Trouble()
        self._server.requests = []
        self._server.waiting = self.waiting = threading.Event()
        self._server.sent = []
        self._scheme = "https" if tls else "http"
        if tls:
            self._wrap(authority)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def _wrap(self, authority: Authority) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert("git-server"), authority.key("git-server"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def requests(self) -> list[tuple[str, str | None]]:
        """Path and Authorization of every request."""
        return self._server.requests

    @property
    def sent(self) -> int:
        """Bytes of all answers."""
        return sum(self._server.sent)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, name: str, host: str = "localhost") -> str:
        return f"{self._scheme}://{host}:{self.port}/{name}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.trouble.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Sshd:
    """A real sshd with a host key and a list of authorized keys of its own, for this user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def _file(self, name: str) -> Path:
        return self.directory / name

    @property
    def user(self) -> str:
        return run(["id", "-un"]).stdout.strip()

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    @property
    def client_key(self) -> str:
        return self._file("client").read_text()

    @property
    def known_hosts(self) -> str:
        kind, key, *_ = self._file("host.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def make_key(self, name: str, passphrase: str = "") -> str:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", self._file(name)])
        return self._file(name).read_text()

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o700)
        self.make_key("host")
        self.make_key("client")
        self._file("authorized").write_text(self._file("client.pub").read_text())
        Path("/run/sshd").mkdir(exist_ok=True)
        sshd = find("sshd")
        assert sshd is not None
        options = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self._file("host"),
            "AuthorizedKeysFile": self._file("authorized"),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "AcceptEnv": "GIT_PROTOCOL",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        with self._file("log").open("wb") as log:
            # -D: a child of ours, in the foreground; the absolute path is what sshd starts itself again by.
            self._process = subprocess.Popen([sshd, "-f", "/dev/null", "-D", "-e", *words], stdout=log, stderr=log)
        assert eventually(lambda: b"Server listening" in self._file("log").read_bytes(), 30), self.log
        return self

    @property
    def log(self) -> str:
        return self._file("log").read_text(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)
