"""Writing kubeconfig files: self-contained, as JSON, which is YAML."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.cluster.shell import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.pki import Authority


def write_certificate_kubeconfig(path: Path, server: str, authority: Authority, name: str) -> Path:
    """Write a kubeconfig for the holder of the certificate `name`."""
    user = {
        "client-certificate-data": _base64(authority.cert(name)),
        "client-key-data": _base64(authority.key(name)),
    }
    return _write(path, server, authority, user)


def write_token_kubeconfig(path: Path, server: str, authority: Authority, token: str, namespace: str) -> Path:
    """Write a kubeconfig for the holder of a bearer token."""
    return _write(path, server, authority, {"token": token}, namespace)


def _write(path: Path, server: str, authority: Authority, user: dict[str, str], namespace: str = "default") -> Path:
    cluster = {"server": server, "certificate-authority-data": _base64(authority.cert("ca"))}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "testbed", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed", "namespace": namespace}}],
        "current-context": "testbed",
    }
    replace_file(path, json.dumps(config, indent=1), mode=0o600)
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
