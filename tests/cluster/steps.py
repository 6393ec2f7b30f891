"""Progress: one line per step with its seconds, a sign of life in long ones, and a table at the end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGN_OF_LIFE_SECONDS = 20.0
_WORTH_A_LINE_SECONDS = 0.05


@dataclass
class Steps:
    """Prints steps as they end and remembers how long each took (in seconds, in order)."""

    taken: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Time what is done inside; steps don't nest."""
        begun = time.monotonic()
        ended = threading.Event()

        def signs_of_life() -> None:
            while not ended.wait(SIGN_OF_LIFE_SECONDS):
                print(f"   ...   {title}: {time.monotonic() - begun:.0f} s so far", file=sys.stderr, flush=True)

        thread = threading.Thread(target=signs_of_life, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            print(f"{time.monotonic() - begun:8.1f} s  {title}: FAILED", file=sys.stderr, flush=True)
            raise
        finally:
            ended.set()
            thread.join()
        seconds = time.monotonic() - begun
        self.taken.append((title, seconds))
        if seconds >= _WORTH_A_LINE_SECONDS:
            print(f"{seconds:8.1f} s  {title}", file=sys.stderr, flush=True)

    def summary(self, heading: str) -> str:
        """Return a table of what took at least a twentieth of a second."""
        rows = [(title, seconds) for title, seconds in self.taken if seconds >= _WORTH_A_LINE_SECONDS]
        lines = [f"{seconds:8.1f} s  {title}" for title, seconds in rows]
        total = sum(seconds for _, seconds in self.taken)
        return "\n".join([f"\n{heading}", *lines, f"{total:8.1f} s  in all"])
