"""The one tree of errors; adapters convert their libraries' exceptions into it at the edge.

Messages are written for the person who reads ``kubectl describe``: they name the field or object and the remedy.
"""


class RunwrightError(Exception):
    """Anything Runwright raises on purpose."""


class ConfigurationError(RunwrightError):
    """The operator cannot work as it is installed (a CRD or a right is missing, a setting is malformed).

    It ends the process with this one line.
    """


class TransientError(RunwrightError):
    """Worth retrying unchanged: time-outs, 429, 5xx, refused connections."""


class ClusterUnavailableError(TransientError):
    """The API server did not answer, or asked to come back later."""


class TrackerUnavailableError(TransientError):
    """The tracking server did not answer usefully; training must not notice."""


class ConflictError(RunwrightError):
    """HTTP 409 on a write: what it was computed from is no longer what is stored. Read again, decide again."""


class AlreadyExistsError(RunwrightError):
    """HTTP 409 on a create: the name is taken. Whose it is decides between adopting and ``NameConflict``."""


class RefusedError(RunwrightError):
    """The API server or tracker refused a request that will not get better by repeating (400, 403, 404, 422).

    Attributes:
        status: The HTTP status code, or 0 when there was none.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class InvalidObjectError(RunwrightError):
    """A stored object does not parse as its kind (made under another version of the CRD)."""
