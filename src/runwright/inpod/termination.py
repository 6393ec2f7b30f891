"""The container's termination message: JSON for the operator, in the 4,096 bytes that the kubelet passes on."""

# start-up time
# ruff: noqa: PLC0415, PTH123

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MESSAGE_BYTES = 4096
"""What the kubelet keeps of a container's termination message."""
SCRIPT_BYTES = 1024
"""Of a message that the script itself left in the file."""
TAIL_BYTES = 2048
"""Of the last lines of output: what the status shows of a failure."""
SHRINK_BY = 128


def script_message(path: str) -> str:
    """Return what the script itself wrote as its termination message, at most `SCRIPT_BYTES` of its beginning."""
    try:
        with open(path, "rb") as file:
            return file.read(SCRIPT_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def last_lines(output: bytes, limit: int) -> str:
    """Return the whole lines that fit in `limit` bytes at the end of `output`, else the end of the last line."""
    text = output.rstrip()[-limit:] if limit > 0 else b""
    if len(output.rstrip()) > limit:
        text = text[text.find(b"\n") + 1 :]
    return text.decode(errors="replace")


def encoded(fields: dict[str, Any], output: bytes, tail_bytes: int = TAIL_BYTES) -> bytes:
    """Return the message: `fields` that say something, and as many of the last lines of output as there is room for."""
    import json

    kept = {name: value for name, value in fields.items() if value is not None and value is not False and value != ""}
    said = str(kept.pop("message", ""))
    limit = min(tail_bytes, TAIL_BYTES)
    while True:
        whole = {"runwright": 1, **kept}
        if said:
            whole["message"] = said
        tail = last_lines(output, limit)
        if tail:
            whole["tail"] = tail
        data = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        if len(data) <= MESSAGE_BYTES or not (limit > 0 or said):
            return data[:MESSAGE_BYTES]
        # Escapes (a colored progress bar) may take six bytes for one.
        if limit > 0:
            limit -= SHRINK_BY
        else:
            said = said[: len(said) // 2]


def write_message(path: str, data: bytes) -> None:
    """Write the message; where there is no such file (outside Kubernetes), do nothing."""
    import os

    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    except OSError:
        return
    try:
        os.write(fd, data)
    except OSError:
        pass
    finally:
        os.close(fd)
