"""Logging: one JSON object a line for machines, or text for people, with the object in work on every line."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from runwright.ports import Json, Key, Kind

_object: ContextVar[dict[str, str] | None] = ContextVar("object in work", default=None)

FIELDS: Final = ("kind", "namespace", "name", "uid")

QUIET: Final = {
    "kopf": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "kubernetes": logging.ERROR,
}
"""Floors of chatty libraries: kopf tells of every event; what kubernetes warns of while it loads, we say better."""


@contextmanager
def working_on(kind: Kind, key: Key, obj: Json | None = None) -> Iterator[None]:
    """Put an object's kind, namespace, name and uid on every log line of this task."""
    fields = {"kind": kind.kind, "namespace": key.namespace, "name": key.name}
    if obj is not None:
        fields["uid"] = obj["metadata"].get("uid", "")
    token = _object.set(fields)
    try:
        yield
    finally:
        _object.reset(token)


class _Context(logging.Filter):
    """Copies the object in work into each record, as attributes that both formats read."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.object = _object.get() or _kopf_reference(record)
        return True


def _kopf_reference(record: logging.LogRecord) -> dict[str, str]:
    """Read the object that kopf's per-object loggers attach to their records."""
    ref = getattr(record, "k8s_ref", None)
    return {field: str(ref[field]) for field in FIELDS if ref.get(field)} if isinstance(ref, dict) else {}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, logger, the object's fields, error (a traceback)."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            **getattr(record, "object", {}),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """``14:03:05 WARNING [team-a/mnist] message`` for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        fields = getattr(record, "object", {})
        where = f"[{fields['namespace']}/{fields['name']}] " if "name" in fields else ""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        text = f"{time} {record.levelname:7} {where}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send every logger of the process to one stream.

    Args:
        level: Lowest level shown: DEBUG, INFO, WARNING or ERROR.
        form: json or text.
        stream: Where to; standard error by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_Context())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, floor in QUIET.items():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(floor, root.level))
    logging.captureWarnings(capture=True)
