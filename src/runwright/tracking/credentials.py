"""The operator's login to a tracking server: read from its Secret when it is needed, and shown nowhere."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from runwright.errors import RefusedError, TrackerUnavailableError, TransientError
from runwright.ports import Key

SecretReader = Callable[[Key], Awaitable[Mapping[str, str] | None]]
"""Reads a Secret live, its values decoded; None when there is none. Raises `ClusterUnavailableError` (retry) or
`RefusedError`. Bytes that are no UTF-8 arrive as surrogate escapes."""
REREAD_SECONDS: Final = 60.0
"""Least time between two readings that the server's refusals cause; the first refusal causes one at once."""
KEYS: Final = ("username", "password")


async def no_secrets(_key: Key) -> None:
    """The reader of whoever has no Secrets."""


class CredentialsError(TrackerUnavailableError):
    """There is no usable login; the message names the Secret and the remedy."""


class Credentials:
    """User name and password for HTTP basic authentication (RFC 7617).

    Args:
        secret: Holds them, with the keys ``username`` and ``password``.
        read: Reads the Secret.
        server: Address of the server, for messages.
        reread_seconds: See `REREAD_SECONDS`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        secret: Key,
        read: SecretReader,
        server: str,
        *,
        reread_seconds: float = REREAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.secret = secret
        self._read = read
        self._server = server
        self._reread_seconds = reread_seconds
        self._clock = clock
        self._header = ""
        self._reread_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Credentials({self.secret})"

    async def header(self) -> str:
        """The value of the ``Authorization`` header; the Secret is read once, and kept.

        Raises:
            CredentialsError: the Secret is missing or incomplete, or may not or cannot be read.
        """
        async with self._one_at_a_time:
            if not self._header:
                self._header = await self._load()
            return self._header

    async def renewed(self, refused: str) -> bool:
        """Read the Secret again, after the server refused a header; whether there is another one to try now.

        Raises:
            CredentialsError: the Secret is gone or incomplete; it is looked for again at the next `header`.
        """
        async with self._one_at_a_time:
            if self._header != refused:
                return True  # somebody else was refused, too, and has read it meanwhile
            if self._clock() < self._reread_at + self._reread_seconds:
                return False
            self._reread_at = self._clock()
            self._header = ""
            self._header = await self._load()
            return self._header != refused

    async def _load(self) -> str:
        holds = f"Secret {self.secret}, with the operator's login to MLflow at {self._server},"
        try:
            found = await self._read(self.secret)
        except RefusedError as error:
            raise CredentialsError(
                f"the operator may not read {holds} (HTTP {error.status}): allow it to get Secrets in that namespace "
                "(stackNamespaces of the runwright chart)"
            ) from error
        except TransientError as error:
            raise CredentialsError(f"{holds} cannot be read while the API server does not answer") from error
        if found is None:
            raise CredentialsError(f"{holds} is missing: create it with the keys username and password")
        if empty := [name for name in KEYS if not found.get(name)]:
            raise CredentialsError(f"{holds} has no {' and no '.join(empty)}: add what is missing")
        if ":" in found["username"]:
            raise CredentialsError(f"{holds} has a username with a colon, which HTTP does not allow: choose another")
        pair = f"{found['username']}:{found['password']}"
        return "Basic " + b64encode(pair.encode(errors="surrogateescape")).decode()
