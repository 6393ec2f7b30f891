"""``python -m runwright.inpod.fetch``: fetch what the job description says; ``digest PATH...``: compute digests."""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from runwright.inpod.fetch.credentials import Redactor
from runwright.inpod.fetch.problems import TERMINATED_EXIT_CODE, FetchError, Reason, Terminated
from runwright.inpod.fetch.tree import UnsafePathError, digest

log = logging.getLogger("runwright.inpod.fetch")

JOB_VARIABLE: Final = "RUNWRIGHT_FETCH_JOB"
"""Holds the job description itself, when ``--job`` names no file."""
TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Kubernetes' default."""


class _Redacting(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.clean(super().format(record)).replace("\n", " ")


def _log_to_stdout(redactor: Redactor) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Redacting(redactor))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _job_text(path: Path | None) -> str:
    if path is not None:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError(Reason.INVALID_JOB, "job", f"{path} can't be read: {error}") from None
    if text := os.environ.get(JOB_VARIABLE):
        return text
    raise FetchError(Reason.INVALID_JOB, "job", f"there is neither --job FILE nor ${JOB_VARIABLE}")


def _private_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="runwright-fetch-"))
    except OSError as error:
        remedy = "mount an emptyDir at /tmp, or set TMPDIR"
        raise FetchError(Reason.INTERNAL, "fetch", f"there is no folder for temporary files: {error}", remedy) from None


def fetch(path: Path | None) -> int:
    """Fetch what a job description says; returns the exit code."""
    # Here, so that `digest` needs the standard library only.
    from runwright.inpod.fetch.carry import carry_out  # noqa: PLC0415
    from runwright.inpod.fetch.job import FetchJob  # noqa: PLC0415
    from runwright.inpod.fetch.report import Report, write  # noqa: PLC0415

    redactor, report = Redactor(), Report()
    _log_to_stdout(redactor)
    # Process 1 of a container ignores SIGTERM unless it says otherwise.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    os.umask(0o002)  # the group (fsGroup) may write: cache claims are shared between users
    begun = time.monotonic()
    termination, result = TERMINATION_LOG, None
    private = None
    try:
        private = _private_folder()
        job = FetchJob.from_json(_job_text(path))
        termination = Path(job.termination_message_path)
        result = Path(job.result_file) if job.result_file else None
        carry_out(job, report, redactor, private)
    except FetchError as error:
        report.error = error
    except Terminated:
        log.info("ended by SIGTERM")
        return TERMINATED_EXIT_CODE
    except Exception as error:  # noqa: BLE001  # the last line of defense: one line instead of a traceback
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        message = f"{type(error).__name__}: {error} ({where})"
        report.error = FetchError(Reason.INTERNAL, "fetch", message, "this is a defect of Runwright; please report it")
    finally:
        if private is not None:
            shutil.rmtree(private, ignore_errors=True)
    report.seconds = time.monotonic() - begun
    write(report, redactor, termination, result)
    if report.error is None:
        return 0
    log.error("%s: %s", report.error.reason.label, report.error)
    return report.error.reason.exit_code


def show_digests(paths: Sequence[Path]) -> int:
    """Print the digest of each file or folder, as sha256sum does; returns the exit code."""
    status = 0
    for path in paths:
        try:
            sys.stdout.write(f"{digest(path)}  {path}\n")
        except (OSError, UnsafePathError) as error:
            said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
            sys.stderr.write(f"{path}: {said}\n")
            status = 1
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns the exit code."""
    parser = argparse.ArgumentParser("python -m runwright.inpod.fetch", description=__doc__)
    parser.add_argument("--job", type=Path, metavar="FILE", help=f"job description; default: ${JOB_VARIABLE}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser("digest", help="print the sha256 that spec.datasets[].sha256 wants")
    one.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="file, or folder as uploaded below a prefix")
    chosen = parser.parse_args(arguments)
    return show_digests(chosen.paths) if chosen.command == "digest" else fetch(chosen.job)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads that wait for a socket are not waited for
