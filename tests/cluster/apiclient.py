"""A small blocking client of the API server, standard library only, for what the testbed itself asks."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ClusterError

if TYPE_CHECKING:
    from tests.cluster.pki import Authority

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class ApiClient:
    """Talks to one API server with one client certificate."""

    server: str
    authority: Authority
    certificate: str = "admin"

    def ready(self) -> bool:
        """Tell whether `/readyz` answers ok."""
        try:
            return self._send("GET", "/readyz", None, "application/json", 2.0) == b"ok"
        except (OSError, ClusterError):
            return False

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send a request and return the object that came back.

        Raises:
            ClusterError: With the server's message, if it refused or can't be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = self._send(method, path, data, content_type, _TIMEOUT_SECONDS)
        except OSError as error:
            raise ClusterError(f"{method} {self.server}{path}: {error}") from None
        found: dict[str, Any] = json.loads(answer)
        return found

    def apply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Apply an object server-side at its path."""
        return self.request(
            "PATCH", f"{path}?fieldManager=testbed&force=true", body, content_type="application/apply-patch+yaml"
        )

    def _send(self, method: str, path: str, data: bytes | None, content_type: str, timeout: float) -> bytes:
        context = ssl.create_default_context(cafile=str(self.authority.cert("ca")))
        context.load_cert_chain(self.authority.cert(self.certificate), self.authority.key(self.certificate))
        request = urllib.request.Request(self.server + path, data, {"Content-Type": content_type}, method=method)  # noqa: S310  -- always https
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=timeout) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise ClusterError(f"{method} {path}: {error.code}: {_message(said)}") from None


def _message(said: str) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return said
