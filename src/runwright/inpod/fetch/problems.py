"""What can go wrong while fetching: each reason has an exit code of its own and says whether trying again can help."""

from enum import Enum
from typing import Final

from runwright.errors import RunwrightError

TERMINATED_EXIT_CODE: Final = 143
"""128 + SIGTERM, as shells and the kubelet count."""


class Reason(Enum):
    """Why a fetch ended: name for conditions, exit code, and whether an unchanged second try may succeed.

    Codes below 80 follow sysexits.h where it has a fitting one.
    """

    INVALID_JOB = ("InvalidFetchJob", 64, False)
    INTERNAL = ("FetchFailed", 70, True)
    DISK_FULL = ("DiskFull", 74, True)
    UNAVAILABLE = ("SourceUnavailable", 75, True)
    CERTIFICATE = ("CertificateUntrusted", 76, False)
    CHANGED = ("DatasetChanged", 77, True)
    CREDENTIALS = ("InvalidCredentials", 78, False)
    GIT_AUTHENTICATION = ("GitAuthenticationFailed", 80, False)
    GIT_HOST_KEY = ("GitHostKeyUntrusted", 81, False)
    GIT_REPOSITORY = ("GitRepositoryNotFound", 82, False)
    GIT_REVISION = ("GitRevisionNotFound", 83, False)
    GIT_PATH = ("GitPathNotFound", 84, False)
    DATASET_ACCESS = ("DatasetAccessDenied", 90, False)
    DATASET_NOT_FOUND = ("DatasetNotFound", 91, False)
    DATASET_MISMATCH = ("DatasetMismatch", 92, False)
    DATASET_KEY = ("DatasetKeyUnsafe", 93, False)
    DATASET_REFUSED = ("DatasetRefused", 94, False)

    def __init__(self, label: str, exit_code: int, retryable: bool) -> None:
        self.label = label
        self.exit_code = exit_code
        self.retryable = retryable


class FetchError(RunwrightError):
    """A fetch that ends here, in one line: the spec's field, what is wrong with it, and the remedy.

    Attributes:
        reason: What kind of problem.
        field: Where in the TrainingRun, e.g. ``spec.source.git.revision``.
    """

    def __init__(self, reason: Reason, field: str, message: str, remedy: str = "") -> None:
        text = f"{field}: {message}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(text.split()))
        self.reason = reason
        self.field = field


class TroubleError(RunwrightError):
    """Something that may pass (network, 5xx): tried again, and only an error once patience has ended."""


class Terminated(BaseException):  # not an error: SIGTERM, as KeyboardInterrupt is SIGINT
    """SIGTERM arrived; everything on the way out cleans up after itself."""
