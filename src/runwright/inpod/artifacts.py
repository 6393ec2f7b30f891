"""Stores files as artifacts of the pod's MLflow run through the server's proxy: short, bounded, never raising."""

# imported while the script runs, so that its start does not wait
# ruff: noqa: PLC0415, PTH112

from __future__ import annotations

import contextlib
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

CONNECT_SECONDS = 3.0
TRY_SECONDS = 60.0
"""A try that has lasted so long is given up for another."""
FIRST_PAUSE_SECONDS = 0.3
LONGEST_PAUSE_SECONDS = 5.0
OK = 2
"""Hundreds of the HTTP status of success."""
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
QUOTED = 160
"""Characters of a server's answer that go into a message."""


class ArtifactsError(Exception):
    """A file was not stored; the message says why. `again`: another try may go better."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class Artifacts:
    """The artifacts of one MLflow run, as the environment names it: MLflow's own variables, read as its client does.

    Args:
        env: ``MLFLOW_TRACKING_URI``, ``MLFLOW_RUN_ID`` and, where they apply, ``MLFLOW_TRACKING_USERNAME`` and
            ``_PASSWORD``, ``_TOKEN``, ``_SERVER_CERT_PATH``, ``_INSECURE_TLS``. ``RUNWRIGHT_ARTIFACT_URI`` saves asking
            the server where the run keeps its artifacts. Proxy variables are not read.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._root = env.get("RUNWRIGHT_ARTIFACT_URI", "")

    @property
    def tracked(self) -> bool:
        """Whether there is an MLflow run to store anything in."""
        return bool(self._env.get("MLFLOW_TRACKING_URI") and self._env.get("MLFLOW_RUN_ID"))

    def put(self, path: str, content: bytes, give_up_at: float) -> None:
        """Store `content` at `path` below the run's artifacts.

        Args:
            path: Relative, such as ``logs/attempt-1/node-0.log``.
            content: The bytes.
            give_up_at: On the clock of `time.monotonic`; no try begins after it, or waits longer for one answer.

        Raises:
            ArtifactsError: it could not be stored.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                root = self._root = self._root or self._ask(give_up_at)
                self._request("PUT", "/api/2.0/mlflow-artifacts/artifacts/" + _below(root, path), content, give_up_at)
            except ArtifactsError as error:
                # Of many pods that failed together, not all come back together.
                jittered = pause * (0.5 + os.urandom(1)[0] / 255)
                if not error.again or time.monotonic() + jittered >= give_up_at:
                    raise
                time.sleep(jittered)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return

    def _ask(self, give_up_at: float) -> str:
        import json
        from urllib.parse import quote

        query = quote(self._env["MLFLOW_RUN_ID"], safe="")
        answer = self._request("GET", "/api/2.0/mlflow/runs/get?run_id=" + query, b"", give_up_at)
        try:
            return str(json.loads(answer)["run"]["info"]["artifact_uri"])
        except (KeyError, TypeError, ValueError):
            raise ArtifactsError("the tracking server does not say where the run's artifacts are") from None

    def _request(self, method: str, path: str, body: bytes, give_up_at: float) -> bytes:
        import http.client
        import ssl
        from urllib.parse import urlsplit

        try:
            base = urlsplit(self._env["MLFLOW_TRACKING_URI"])
            host, port = base.hostname, base.port
        except ValueError as error:
            raise ArtifactsError(f"MLFLOW_TRACKING_URI is no URL: {error}") from None
        if base.scheme not in ("http", "https") or not host:
            raise ArtifactsError("MLFLOW_TRACKING_URI does not begin with http:// or https://")
        give_up_at = min(give_up_at, time.monotonic() + TRY_SECONDS)
        left = give_up_at - time.monotonic()
        if left <= 0:
            raise ArtifactsError("no time was left")
        connection = (
            http.client.HTTPSConnection(host, port, timeout=min(CONNECT_SECONDS, left), context=self._tls())
            if base.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=min(CONNECT_SECONDS, left))
        )
        try:
            connection.connect()
            connection.sock.settimeout(max(0.05, give_up_at - time.monotonic()))
            headers = {"User-Agent": "runwright", **self._authorization(base.username, base.password)}
            if body:
                headers["Content-Type"] = "application/octet-stream"
            # A server that refuses may close before it has read everything; its answer says why.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, base.path.rstrip("/") + path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except ssl.SSLError as error:
            again = isinstance(error, ssl.SSLEOFError)  # the connection broke
            why = getattr(error, "verify_message", "") or error.reason or str(error)
            raise ArtifactsError(f"TLS to {host} failed: {why}", again=again) from None
        except TimeoutError:
            raise ArtifactsError(f"{host} did not answer in time", again=True) from None
        except (OSError, http.client.HTTPException) as error:
            # socket.timeout is no TimeoutError before Python 3.10.
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ArtifactsError(f"cannot speak to {host}: {why}", again=True) from None
        finally:
            connection.close()
        if answer.status // 100 != OK:
            text = " ".join(content.decode(errors="replace").split())[:QUOTED]
            raise ArtifactsError(f"{host} answered {answer.status}: {text}", again=answer.status in TRY_AGAIN)
        return content

    def _tls(self) -> ssl.SSLContext:
        import ssl

        authorities = self._env.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
        try:
            context = ssl.create_default_context(
                cafile=authorities if authorities and not os.path.isdir(authorities) else None,
                capath=authorities if authorities and os.path.isdir(authorities) else None,
            )
        except OSError as error:
            raise ArtifactsError(f"MLFLOW_TRACKING_SERVER_CERT_PATH={authorities} cannot be used: {error}") from None
        if self._env.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _authorization(self, user: str | None, password: str | None) -> dict[str, str]:
        import base64
        from urllib.parse import unquote

        user = self._env.get("MLFLOW_TRACKING_USERNAME") or unquote(user or "")
        password = self._env.get("MLFLOW_TRACKING_PASSWORD") or unquote(password or "")
        if user and password:
            pair = f"{user}:{password}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        token = self._env.get("MLFLOW_TRACKING_TOKEN")
        return {"Authorization": "Bearer " + token} if token else {}


def _below(root: str, path: str) -> str:
    """Return the quoted path at the artifact proxy of a file in a run whose artifact URI is `root`."""
    from urllib.parse import quote, urlsplit

    location = urlsplit(root)
    # A host in it names another server; we speak to the one that we were given, and to no other.
    if location.scheme != "mlflow-artifacts" or location.netloc:
        raise ArtifactsError(
            f"this run's artifacts are at {location.scheme or 'file'}://{location.netloc}, "
            "and not behind the tracking server"
        )
    return quote("/".join(part for part in [*location.path.split("/"), *path.split("/")] if part))
