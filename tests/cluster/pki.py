"""Keys and certificates, made by openssl: one authority and what it signs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import run

_DAYS = "365"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_REMEDY = "install openssl"


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder: `ca.crt`, `ca.key`, and `NAME.crt`, `NAME.key` for each certificate."""

    directory: Path

    def create(self) -> None:
        """Make the authority and the key that signs service account tokens (`sa.key`, `sa.pub`), unless they exist."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.cert("ca").exists() and (self.directory / "sa.pub").exists():
            return
        run(
            ["openssl", "req", "-x509", *_NEW_KEY, "-keyout", self.key("ca"), "-out", self.cert("ca"), "-days", _DAYS,
             "-subj", "/CN=testbed-ca"],
            remedy=_REMEDY,
        )  # fmt: skip
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key("sa")])
        run(["openssl", "ec", "-in", self.key("sa"), "-pubout", "-out", self.directory / "sa.pub"])

    def issue(self, name: str, common_name: str, organization: str = "", alternative_names: str = "") -> None:
        """Sign a certificate for clients and servers, unless it exists; it gets a new key."""
        if self.cert(name).exists():
            return
        subject = f"/O={organization}/CN={common_name}" if organization else f"/CN={common_name}"
        with tempfile.TemporaryDirectory() as scratch:
            request, extensions = Path(scratch, "csr"), Path(scratch, "ext")
            extensions.write_text(
                f"subjectAltName={alternative_names or 'DNS:' + name}\nextendedKeyUsage=serverAuth,clientAuth\n"
            )
            run(["openssl", "req", *_NEW_KEY, "-keyout", self.key(name), "-out", request, "-subj", subject])
            run(
                ["openssl", "x509", "-req", "-in", request, "-CA", self.cert("ca"), "-CAkey", self.key("ca"),
                 "-CAcreateserial", "-out", self.cert(name), "-days", _DAYS, "-extfile", extensions],
            )  # fmt: skip

    def cert(self, name: str) -> Path:
        """Return the file of a certificate."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the file of a key."""
        return self.directory / f"{name}.key"
