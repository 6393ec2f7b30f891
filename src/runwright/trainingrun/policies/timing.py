"""How often is looked again where no event may come."""

from typing import Final

LOOK_AGAIN: Final = 30.0
"""Seconds after which something that should come as an event is looked at anyway."""
STACK_RETRY: Final = 5.0
"""Seconds between two looks for something of the user's that is not there yet."""


def soonest(*clocks: float | None) -> float | None:
    """Return the clock that strikes first; None when none ticks."""
    return min((left for left in clocks if left is not None), default=None)
