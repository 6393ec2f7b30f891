"""What helm's standard error means: one line for people, and whether repeating may help. Pure."""

import re
from typing import Final

from runwright.errors import ClusterUnavailableError, RefusedError

MAX_MESSAGE: Final = 1024

# What client-go, Go's net packages and the API server (apimachinery, pkg/api/errors) say when nothing is wrong with
# what was asked. helm passes on the words only, not the HTTP status.
_TRANSIENT: Final = re.compile(
    r"""
    kubernetes\ cluster\ unreachable
    | connection\ refused | connection\ reset | connection\ lost | broken\ pipe | no\ route\ to\ host
    | i/o\ timeout | TLS\ handshake\ timeout | context\ deadline\ exceeded | context\ canceled
    | Client\.Timeout\ exceeded | request\ canceled | no\ such\ host | server\ misbehaving
    | \bEOF\b | http2: | INTERNAL_ERROR | GOAWAY
    | [Tt]oo\ many\ requests | try\ again | \(re\)initializing | shutting\ down | not\ ready
    | unable\ to\ handle\ the\ request | the\ server\ was\ unable\ to\ return\ a\ response\ in\ the\ time
    | an\ error\ on\ the\ server | Internal\ error\ occurred | etcdserver: | rpc\ error: | \bUnauthorized\b
    | Timeout:\ request\ did\ not\ complete | error\ trying\ to\ reach\ service
    # another helm, or another writer, came between
    | another\ operation\ .*\ is\ in\ progress | object\ has\ been\ modified | release:\ already\ exists
    """,
    re.VERBOSE,
)
_LEVEL: Final = re.compile(r"^(?:level=|time=|\d{4}/\d\d/\d\d |WARNING: |Warning: |[IWE]\d{4} )")


def one_line(stderr: str) -> str:
    """Return helm's own message without its log lines."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    said = lines[starts[0] :] if starts else lines[-3:]
    text = " ".join(line for line in said if starts == [] or not _LEVEL.match(line))
    text = re.sub(r"\s+", " ", text.removeprefix("Error: ")).strip()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def error_of(action: str, status: int, stderr: str) -> ClusterUnavailableError | RefusedError:
    """Convert a failed run.

    Args:
        action: helm's subcommand.
        status: Exit status; negative for the signal that killed it.
        stderr: Everything it wrote there.
    """
    said = one_line(stderr)
    if status < 0:
        tail = f": {said}" if said else ""
        return ClusterUnavailableError(f"helm {action} was killed by signal {-status}{tail}")
    message = f"helm {action}: {said or f'exit status {status}'}"
    return ClusterUnavailableError(message) if _TRANSIENT.search(said) else RefusedError(message)
