"""What a refusal of the API server means, whether it came to us or to helm."""

import re
from typing import Final

from runwright.errors import RefusedError
from runwright.trackingstack.observed import Problem

FORBIDDEN: Final = 403
_NO_RIGHT: Final = re.compile(r"forbidden: User \S+ cannot ")
_TERMINATING: Final = "is being terminated"


def is_forbidden(error: RefusedError) -> bool:
    """Whether the operator lacks a right; quotas and terminating namespaces answer 403 as well."""
    return bool(_NO_RIGHT.search(str(error)))


def is_terminating(error: RefusedError) -> bool:
    """Whether the namespace is being deleted: nothing can be made in it any more, and nothing needs to be."""
    return _TERMINATING in str(error)


def problem(message: str, namespace: str, *, forbidden: bool, reason: str = "Refused") -> Problem:
    """Say who can help."""
    if forbidden:
        remedy = f"add {namespace} to stackNamespaces in the values of the chart runwright"
        text = f"the operator may not make stacks in this namespace: {remedy} ({message})"
        return Problem("RightsMissing", text, stalled=True)
    return Problem("WaitingForQuota" if "exceeded quota" in message else reason, message, stalled=True)
