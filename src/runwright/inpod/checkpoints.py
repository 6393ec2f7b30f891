"""The newest complete checkpoint in a directory: what an attempt resumes from."""

# start-up time
# ruff: noqa: PLC0415, PTH208

from __future__ import annotations

import os

INCOMPLETE = r"(^|[._-])(tmp|temp|partial|incomplete)([._-]|$)"
"""Part of a name that says: still being written. Covers ``x.tmp``, ``x.partial``, ``tmp-checkpoint-5`` (older
transformers) and ``5.orbax-checkpoint-tmp-17``."""
EXTENSIONS = r"(\.[A-Za-z]\w*)+$"
STEP = r"\d+$"
"""The number at a name's end, its extensions left out: ``checkpoint-500``, ``epoch=3-step=1200.ckpt``, ``7.tar.gz``."""


class Checkpoint:
    """A file or directory that a script can resume from."""

    def __init__(self, path: str, step: int | None, changed: float) -> None:
        self.path = path
        self.step = step
        """The number that its name ends with."""
        self.changed = changed
        """When it was last modified, in seconds since 1970."""


def newest_checkpoint(directory: str) -> Checkpoint | None:
    """Find the newest complete entry right below `directory`; None when there is none.

    Highest step first where names have one (``best.pt`` and ``last.ckpt`` beside them do not count), else the latest
    modification.

    Raises:
        OSError: the directory cannot be read; one that does not exist is empty.
    """
    import re

    found = []
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "lost+found" or re.search(INCOMPLETE, entry.name):
            continue
        try:
            if not _complete(entry):
                continue
            changed = entry.stat().st_mtime
        except OSError:  # unreadable, vanished, or a link to nothing
            continue
        step = re.search(STEP, re.sub(EXTENSIONS, "", entry.name))
        found.append(Checkpoint(entry.path, int(step.group()) if step else None, changed))
    return max(found, key=lambda c: (-1 if c.step is None else c.step, c.changed, c.path), default=None)


def _complete(entry: os.DirEntry[str]) -> bool:
    if not entry.is_dir():
        return entry.stat().st_size > 0
    names = os.listdir(entry.path)
    # torch.distributed.checkpoint writes .metadata last.
    return bool(names) and (".metadata" in names or not any(name.endswith(".distcp") for name in names))
