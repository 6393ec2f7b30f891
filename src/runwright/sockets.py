"""Closing HTTP sessions down to their sockets."""

import asyncio
from typing import Final

import aiohttp

TURNS: Final = 10
"""Of the event loop: an aborted TLS connection ends in callbacks of callbacks, which a closed loop would never make."""


async def close(*sessions: aiohttp.ClientSession) -> None:
    """Close the sessions, and wait for the loop to let go of their sockets."""
    for session in sessions:
        await session.close()
    for _ in range(TURNS):
        await asyncio.sleep(0)
