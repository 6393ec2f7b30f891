"""What the container's control group says: limits, and processes killed for memory."""

# start-up time
# ruff: noqa: PTH123

from __future__ import annotations

ROOT = "/sys/fs/cgroup"
UNLIMITED = 1 << 60
"""Version 1 writes the largest multiple of a page instead of ``max``."""


def _words(*paths: str) -> list[str]:
    """Words of the first of these files that can be read."""
    for path in paths:
        try:
            with open(f"{ROOT}/{path}") as file:
                return file.read().split()
        except OSError:
            continue
    return []


def memory_limit() -> int | None:
    """Bytes that the container may use; None without a limit."""
    words = _words("memory.max", "memory/memory.limit_in_bytes")
    if not words or not words[0].isdigit() or int(words[0]) >= UNLIMITED:
        return None
    return int(words[0])


def cpu_limit() -> float | None:
    """CPUs that the container may use; None without a limit."""
    words = _words("cpu.max") or _words("cpu/cpu.cfs_quota_us") + _words("cpu/cpu.cfs_period_us")
    if len(words) != 2 or not words[0].isdigit() or not words[1].isdigit():  # noqa: PLR2004  # quota and period
        return None
    return int(words[0]) / int(words[1])


def out_of_memory_kills() -> int:
    """Processes of the container that the kernel has killed for its memory limit so far."""
    words = _words("memory.events", "memory/memory.oom_control")
    for name, value in zip(words[::2], words[1::2]):  # noqa: B905  # strict= is of Python 3.10
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return 0
