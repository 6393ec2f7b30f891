"""What an HTTP answer of an MLflow server means for us; pure."""

import json
from typing import Any, Final

from runwright.errors import RefusedError, TrackerUnavailableError

ALREADY_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
DOES_NOT_EXIST: Final = "RESOURCE_DOES_NOT_EXIST"
RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that MLflow's own client retries (mlflow.utils.request_utils)."""
PERMISSION_DENIED: Final = "Permission denied"
"""The whole body of a 403 of MLflow's basic-auth app (mlflow.server.auth.make_forbidden_response)."""
_SHOWN: Final = 300


class MLflowRefusedError(RefusedError):
    """A refusal with MLflow's own error code.

    Attributes:
        code: e.g. ``RESOURCE_DOES_NOT_EXIST``; see mlflow.protos.databricks_pb2.ErrorCode.
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message, status=status)
        self.code = code


class BadAnswerError(TrackerUnavailableError):
    """The server answered, but not usefully.

    Attributes:
        retry: Repeating the request at once may help.
        everywhere: Every other request will meet the same (host not allowed, not an MLflow server).
    """

    def __init__(self, message: str, *, retry: bool, everywhere: bool) -> None:
        super().__init__(message)
        self.retry = retry
        self.everywhere = everywhere


def parsed(
    server: str, host: str, call: str, status: int, location: str, body: bytes, *, login: str = ""
) -> dict[str, Any]:
    """Return the JSON object of a good answer.

    Args:
        server: The server's URL for messages, without credentials.
        host: The Host header that was sent.
        call: ``runs/create`` and such, for messages.
        status: HTTP status code.
        location: The Location header of a redirect, or "".
        body: The answer's body.
        login: The Secret whose credentials were sent; "" when none were.

    Raises:
        BadAnswerError: worth another try later, with the same request.
        MLflowRefusedError: the request itself was refused.
    """
    content = _json_object(body)
    if status == 200:  # noqa: PLR2004 -- HTTP's own number
        if content is None:
            raise _no_mlflow(server, call, "HTTP 200 without JSON")
        return content
    if 300 <= status < 400:  # noqa: PLR2004 -- as above
        raise BadAnswerError(
            f"MLflow at {server} redirects to {location or 'another address'}: use that one as trackingUri",
            retry=False,
            everywhere=True,
        )
    code = str((content or {}).get("error_code", ""))
    message = str((content or {}).get("message", "")) or body.decode(errors="replace")
    message = message.splitlines()[0][:_SHOWN].strip() if message.strip() else "no explanation"
    if status in RETRIED:
        raise BadAnswerError(
            f"MLflow at {server} answers HTTP {status} {code}".rstrip() + ": see the server's log and its database",
            retry=True,
            everywhere=False,
        )
    if status == 403 and "Invalid Host header" in message:  # noqa: PLR2004 -- as above
        raise BadAnswerError(
            f"MLflow at {server} refuses the host name {host!r} (403 Invalid Host header): "
            f"add it to the server's --allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS), with and without the port",
            retry=False,
            everywhere=True,
        )
    if status == 401:  # noqa: PLR2004 -- as above
        raise BadAnswerError(_no_login(server, login), retry=False, everywhere=True)
    if status == 403 and content is None and message == PERMISSION_DENIED:  # noqa: PLR2004 -- as above
        user = f"the user of Secret {login} has" if login else "the operator has"
        told = f"{user} no permission for it; make it an administrator of that MLflow server"
        raise MLflowRefusedError(f"MLflow refused {call}: {told}", status=status, code="PERMISSION_DENIED")
    if content is None or not code:
        raise _no_mlflow(server, call, f"HTTP {status}: {message}")
    raise MLflowRefusedError(f"MLflow refused {call}: {code}: {message}{_remedy(message)}", status=status, code=code)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body) if body.strip() else {}
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _no_login(server: str, login: str) -> str:
    if login:
        return (
            f"MLflow at {server} does not accept the user name and password of Secret {login} (HTTP 401): put those "
            "that the server knows into it"
        )
    return (
        f"MLflow at {server} asks for a login (HTTP 401): name the Secret with username and password in the "
        "TrackingStack (spec.server.external.credentialsSecretRef)"
    )


def _no_mlflow(server: str, call: str, what: str) -> BadAnswerError:
    return BadAnswerError(
        f"{server} does not answer {call} as an MLflow server would ({what}): check trackingUri",
        retry=False,
        everywhere=True,
    )


def _remedy(message: str) -> str:
    if "must be in the 'active' state" not in message:
        return ""
    if message.startswith("The experiment "):
        return " Restore it (mlflow experiments restore --experiment-id ID) or choose another spec.tracking.experiment."
    return " Restore it (mlflow runs restore --run-id ID) or create the TrainingRun anew."
