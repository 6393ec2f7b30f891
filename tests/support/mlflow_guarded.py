"""A real MLflow server that asks for a login and speaks TLS, as the chart runs it with `auth.enabled` and `tls`."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from runwright.ports import Key, TrackingServer
from tests.support.certificates import Authority, Certificate
from tests.support.mlflow_server import MLflowServer

OPERATOR = Key("tracking", "main-mlflow-operator")
CLIENT = Key("team-a", "main-mlflow-client")
CONFIGURATION = """\
[mlflow]
default_permission = EDIT
database_uri = sqlite:///{directory}/auth.db
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Checking a password takes 200 ms of CPU; a cached answer, none.
auth_cache_ttl_seconds = 60
"""


class GuardedServer(MLflowServer):
    """Has two users, the operator (an administrator) and the client, whose Secrets are in `vault`."""

    def __init__(self, directory: Path, *, port: int | None = None, allowed_hosts: str | None = None) -> None:
        super().__init__(directory, port=port, allowed_hosts=allowed_hosts)
        self.authority = Authority()
        self.vault: dict[Key, Mapping[str, str]] = {
            OPERATOR: {"username": "operator", "password": secrets.token_urlsafe(24)},
            CLIENT: {"username": "client", "password": secrets.token_urlsafe(24)},
        }
        self._passwords = dict(self.vault)
        self.ca_file = directory / "ca.crt"

    @property
    def scheme(self) -> str:
        """The URI's."""
        return "https"

    @property
    def verify(self) -> bool | str:
        """What `requests` trusts."""
        return str(self.ca_file)

    @property
    def tracking(self) -> TrackingServer:
        """How the operator and the pods of another namespace find it."""
        return TrackingServer(
            self.uri,
            shared=True,
            operator_secret=OPERATOR,
            client_secret=CLIENT.name,
            ca_bundle=self.authority.pem,
        )

    async def read_secret(self, key: Key) -> Mapping[str, str] | None:
        """Read a Secret as it is now."""
        return self.vault.get(key)

    def launch(self) -> None:
        """Start the process with a fresh certificate."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca_file.write_text(self.authority.pem)
        self.certify(self.authority.issue(self.directory / "tls", "127.0.0.1"))

    def certify(self, certificate: Certificate) -> None:
        """Start the process with this certificate."""
        options = f"--ssl-certfile {certificate.certificate} --ssl-keyfile {certificate.key}"
        configuration = self.directory / "basic_auth.ini"
        configuration.write_text(CONFIGURATION.format(directory=self.directory))
        administrator = self._passwords[OPERATOR]
        self._launch(
            ["--app-name", "basic-auth", "--uvicorn-opts", options],
            {
                "MLFLOW_AUTH_CONFIG_PATH": str(configuration),
                "MLFLOW_AUTH_ADMIN_USERNAME": administrator["username"],
                "MLFLOW_AUTH_ADMIN_PASSWORD": administrator["password"],
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "the same for all workers",
            },
        )

    def wait_healthy(self) -> None:
        """Wait until it answers, and make the client's user."""
        super().wait_healthy()
        client = self._passwords[CLIENT]
        if self._users("GET", "get", params={"username": client["username"]}).status_code == requests.codes.not_found:
            self._users("POST", "create", json=dict(client)).raise_for_status()

    def change_password(self, who: Key) -> Mapping[str, str]:
        """Give a user a new password in the server; returns what its Secret should hold from now on."""
        changed = {**self._passwords[who], "password": secrets.token_urlsafe(24)}
        body = {**changed, "current_password": self._passwords[who]["password"]}  # asked of who changes his own
        self._users("PATCH", "update-password", json=body).raise_for_status()
        self._passwords[who] = changed
        return changed

    def login(self, who: Key) -> tuple[str, str]:
        """User name and password that the server accepts now."""
        return self._passwords[who]["username"], self._passwords[who]["password"]

    def _users(self, method: str, call: str, **arguments: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.uri}/api/2.0/mlflow/users/{call}",
            auth=self.login(OPERATOR),
            verify=self.verify,
            timeout=60,
            **arguments,
        )
