"""Credentials as files: the keys of a mounted Secret, read when needed, kept out of arguments, logs and volumes."""

import contextlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.problems import FetchError, Reason

SHORTEST_REDACTED: Final = 4
"""Shorter secrets are not blotted out: they would blot out half of every message and hide nothing."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A mounted Secret: one file per key.

    Attributes:
        folder: The mount, or None when the spec names no Secret.
        field: The field of the spec that names it.
    """

    folder: Path | None
    field: str

    def path(self, *names: str) -> Path | None:
        """Return the file of the first of these keys that is there and not empty."""
        if self.folder is None:
            return None
        for name in names:
            file = self.folder / name
            with contextlib.suppress(OSError):
                if file.stat().st_size:
                    return file
        return None

    def text(self, *names: str) -> str | None:
        """Return a key's text without the white space around it: ``kubectl --from-file`` keeps a final line feed.

        Raises:
            FetchError: The value is no text.
        """
        file = self.path(*names)
        if file is None:
            return None
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise FetchError(Reason.CREDENTIALS, self.field, f"key {file.name} can't be read: {error}") from None

    def require(self, *names: str) -> str:
        """Return a key's text.

        Raises:
            FetchError: The Secret has none of these keys.
        """
        if found := self.text(*names):
            return found
        raise FetchError(Reason.CREDENTIALS, self.field, f"the Secret has no key {' or '.join(names)}", "add it")


@dataclass
class Redactor:
    """Blots known secrets out of text that goes to logs, results and messages: a second wall, not the first."""

    _secrets: set[str] = field(default_factory=set)

    def learn(self, *secrets: str | None) -> None:
        """Remember secrets; of those with several lines, each line."""
        for secret in secrets:
            for line in (secret or "").splitlines():
                if len(line.strip()) >= SHORTEST_REDACTED:
                    self._secrets.add(line.strip())

    def clean(self, text: str) -> str:
        """Return the text without them."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def system_ca_file() -> Path | None:
    """Return the file with the certificate authorities that programs here trust."""
    paths = ssl.get_default_verify_paths()
    candidates = (os.environ.get("SSL_CERT_FILE"), paths.cafile, "/etc/ssl/certs/ca-certificates.crt")
    return next((Path(one) for one in candidates if one and Path(one).is_file()), None)


def ca_bundle(target: Path, extra: Sequence[Path | None], field_name: str) -> Path | None:
    """Write a file that trusts the system's authorities and these; None when there are no others.

    Raises:
        FetchError: One of the files holds no certificate.
    """
    wanted = [one for one in extra if one is not None]
    if not wanted:
        return None
    parts = []
    for file in wanted:
        try:
            text = file.read_text(encoding="utf-8")
            ssl.create_default_context(cadata=text)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise FetchError(
                Reason.CREDENTIALS, field_name, f"{file.name} holds no PEM certificates ({error})", "replace it"
            ) from None
        parts.append(text)
    if system := system_ca_file():
        parts.append(system.read_text(encoding="utf-8"))
    target.write_text("\n".join(parts), encoding="utf-8")
    return target
