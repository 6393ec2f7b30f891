"""``gangTimeoutSeconds``: gangs that each hold a part of the nodes wait for each other for ever, unless one lets go."""

import hashlib
from datetime import datetime

from runwright.trainingrun.observed import PodView


def split_since(pods: tuple[PodView, ...], nodes: int) -> datetime | None:
    """Since when some of the pods have had a node while the scheduler finds none for others; None when that is not so.

    Each further pod that finds its place starts the clock anew.
    """
    alive = [p for p in pods if not p.over and not p.deleting]
    waiting = [p.unschedulable_since for p in alive if p.unschedulable_since is not None]
    holding = [p for p in alive if p.node]
    if nodes < 2 or not waiting or not holding:  # noqa: PLR2004  # a gang
        return None
    placed = [p.scheduled for p in holding if p.scheduled is not None]
    return max(min(waiting), *placed) if placed else min(waiting)


def told(pods: tuple[PodView, ...], nodes: int) -> str:
    """Describe the gang that lets go."""
    alive = [p for p in pods if not p.over and not p.deleting]
    holding = sum(bool(p.node) for p in alive)
    why = next((p.unschedulable for p in alive if p.unschedulable), "")
    return f"{holding} of {nodes} nodes found a place, the others did not: {why}"


def spread(uid: str, attempt: int) -> float:
    """Return a number in [0, 1) that differs between runs: two that let go together must not come back together."""
    return int.from_bytes(hashlib.sha256(f"{uid}/{attempt}".encode()).digest()[:4]) / 2**32
