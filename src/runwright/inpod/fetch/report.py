"""The result, for programs: JSON in the container's termination message and in a file."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runwright.inpod.fetch.credentials import Redactor
from runwright.inpod.fetch.git import Fetched
from runwright.inpod.fetch.problems import FetchError

log = logging.getLogger(__name__)

MESSAGE_MAX_BYTES: Final = 4096
"""The kubelet keeps no more of a termination message (MaxContainerTerminationMessageLength)."""
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class DatasetResult:
    """What became of one dataset.

    Attributes:
        name: As in the spec.
        digest: SHA-256 of the file, or of the folder's listing (tree.py).
        size: Bytes.
        files: Number of files.
        cached: Whether nothing had to be downloaded.
        seconds: How long it took.
    """

    name: str
    digest: str
    size: int
    files: int
    cached: bool
    seconds: float


@dataclass
class Report:
    """What was fetched so far, and what ended it.

    Attributes:
        commit: The resolved commit, as soon as it is known.
        git: The code, when it is there.
        datasets: Those that are there.
        error: What ended the fetch.
        seconds: All of it.
    """

    commit: str = ""
    git: Fetched | None = None
    datasets: list[DatasetResult] = field(default_factory=list)
    error: FetchError | None = None
    seconds: float = 0.0

    def to_dict(self, redactor: Redactor) -> dict[str, Any]:
        """Return plain JSON without secrets; see docs/adr/0008-fetch.md for the fields."""
        found: dict[str, Any] = {"version": VERSION, "seconds": round(self.seconds, 1)}
        if self.commit:
            found["git"] = {"commit": self.commit}
        if self.git is not None:
            found["git"] |= {
                "ref": self.git.ref,
                "files": self.git.checkout.files,
                "bytes": self.git.checkout.size,
                "seconds": round(self.git.seconds, 1),
                "lfsPointers": len(self.git.checkout.lfs_pointers),
                "submodules": len(self.git.checkout.submodules),
            }
        if self.datasets:
            found["datasets"] = [
                {
                    "name": one.name,
                    "digest": one.digest,
                    "bytes": one.size,
                    "files": one.files,
                    "cached": one.cached,
                    "seconds": round(one.seconds, 1),
                }
                for one in self.datasets
            ]
        if self.error is not None:
            reason = self.error.reason
            found["error"] = {
                "reason": reason.label,
                "field": redactor.clean(self.error.field),
                "message": redactor.clean(str(self.error)),
                "retryable": reason.retryable,
                "exitCode": reason.exit_code,
            }
        return found


def _encode(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def message(report: Report, redactor: Redactor, limit: int = MESSAGE_MAX_BYTES) -> str:
    """Return the termination message: the whole result, or as much as fits, always valid JSON.

    First the error's text is cut, then the datasets lose everything but name and digest, then the last datasets go
    (``datasetsOmitted`` counts them).
    """
    content = report.to_dict(redactor)
    if "error" in content:
        content["error"]["message"] = _cut(content["error"]["message"], 1024)
        content["error"]["field"] = _cut(content["error"]["field"], 256)
    if len(_encode(content)) > limit and "datasets" in content:
        content["datasets"] = [{"name": one["name"], "digest": one["digest"]} for one in content["datasets"]]
    kept: list[Any] = content.get("datasets", [])
    while kept and len(_encode(content)) > limit:
        kept = kept[:-1]
        content["datasets"] = kept
        content["datasetsOmitted"] = len(report.datasets) - len(kept)
    return _encode(content)


def _cut(text: str, limit: int) -> str:
    # json.dumps writes \uXXXX for what is not ASCII: count what will be written.
    while len(json.dumps(text)) - 2 > limit:
        text = text[: -1 - max(1, (len(json.dumps(text)) - limit) // 6)] + "…"
    return text


def write(report: Report, redactor: Redactor, termination: Path, result: Path | None) -> None:
    """Write the result; where that fails the log has it."""
    text = message(report, redactor)
    try:
        termination.write_text(text, encoding="ascii")
    except OSError as error:
        log.info("result: %s (%s can't be written: %s)", text, termination, error.strerror)
    if result is not None:
        save(report, redactor, result)


def save(report: Report, redactor: Redactor, result: Path) -> None:
    """Write the whole result to a file, by rename."""
    half = result.with_name(f".{result.name}.part")
    try:
        result.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(_encode(report.to_dict(redactor)), encoding="ascii")
        half.replace(result)
    except OSError as error:
        log.info("the result can't be written to %s: %s", result, error.strerror)


def known_commit(result: Path | None) -> str | None:
    """Return the commit that an earlier process of the same pod resolved."""
    try:
        content = json.loads(result.read_text(encoding="ascii")) if result else {}
        found = content["git"]["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
