"""How to reach and to prove who we are to the API server: a pod's ServiceAccount, or a kubeconfig.

The official `kubernetes` package reads both; this module adds one thing to it, credentials that stay fresh: a bound
ServiceAccount token is replaced on disk about every hour, exec plugins and token files change as they like.
"""

import asyncio
import logging
import os
import time
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.kube_config import KubeConfigLoader

from runwright import sockets
from runwright.errors import ConfigurationError

logger = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 60.0
"""How long credentials are used before they are read again; the period of the official in-cluster loader."""

POOL_SIZE: Final = 64
"""Connections per session: twice the default number of workers, far above the number of watch streams."""


class Connection:
    """The API server's address, TLS settings and credentials.

    Attributes:
        configuration: The official client's configuration; its token is refreshed in place.
        kubeconfig: Path, or paths as in ``KUBECONFIG``, that it was read from; empty for a pod's ServiceAccount.
    """

    def __init__(
        self, configuration: Configuration, loader: KubeConfigLoader | None = None, kubeconfig: str = ""
    ) -> None:
        self.kubeconfig = kubeconfig
        # Looked up once: aiohttp, told to trust the environment, asks it in a thread at every request.
        configuration.proxy = configuration.proxy or _proxy(str(configuration.host))
        configuration.client_session_kwargs = {"trust_env": False, "middlewares": (self.authorize,)}
        self.configuration = configuration
        self._loader = loader
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        self._refreshing = asyncio.Lock()
        self._sessions: list[aiohttp.ClientSession] = []

    @classmethod
    async def open(cls) -> "Connection":
        """Find the API server: ``KUBECONFIG`` if set, else the pod's ServiceAccount, else ``~/.kube/config``.

        Raises:
            ConfigurationError: none of them describes one.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = POOL_SIZE
        # Python 3.13 refuses CA certificates without key identifiers, which Go accepts and clusters have.
        configuration.disable_strict_ssl_verification = True
        in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
        where = os.environ.get("KUBECONFIG") or "~/.kube/config"
        try:
            if in_cluster:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return cls(configuration)
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=where, client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
            if in_cluster:
                remedy = "the pod needs automountServiceAccountToken: true"
                raise ConfigurationError(
                    f"The pod's ServiceAccount token cannot be read ({error}): {remedy}"
                ) from error
            if not _exists(where):
                raise ConfigurationError(
                    f"No kubeconfig at {where} and not in a pod: set KUBECONFIG to a file that names the cluster"
                ) from error
            raise ConfigurationError(
                f"The kubeconfig {where} cannot be used: {error}; correct it, or set KUBECONFIG to another"
            ) from error
        return cls(configuration, loader, _expanded(where))

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self.configuration.host).rstrip("/")

    async def authorization(self) -> str | None:
        """Return the ``Authorization`` header's value, read again every minute; None with client certificates."""
        if self._loader is not None and time.monotonic() >= self._refresh_at:
            async with self._refreshing:
                if time.monotonic() >= self._refresh_at:
                    self._refresh_at = time.monotonic() + REFRESH_SECONDS
                    await self._reload(self._loader)
        try:
            value = await self.configuration.get_api_key_with_prefix("BearerToken")
        except (ConfigException, OSError) as error:  # the file is being replaced: what we have is still valid
            logger.warning("The ServiceAccount token cannot be read again: %s", error)
            value = self.configuration.api_key.get("BearerToken")
        return value.strip() if value else None

    async def _reload(self, loader: KubeConfigLoader) -> None:
        try:
            await loader.load_and_set(self.configuration)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError, ValueError) as error:
            logger.warning("The kubeconfig cannot be read again: %s", error)

    async def authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Set the ``Authorization`` header of each request (an aiohttp client middleware)."""
        value = await self.authorization()
        if value:
            request.headers["Authorization"] = value
        response = await handler(request)
        if response.status == HTTPStatus.UNAUTHORIZED:  # the token has just been replaced, most likely
            self._refresh_at = 0.0
        return response

    def session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """Make an HTTP session with this TLS context, credentials and bound on connections.

        The caller closes it when it needs it no longer; `close` closes those that are left.
        """
        rest = RESTClientObject(self.configuration)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=POOL_SIZE, ssl=rest.ssl_context),
            middlewares=(self.authorize, *middlewares),
            proxy=self.configuration.proxy,
        )
        self._sessions = [*(one for one in self._sessions if not one.closed), session]
        return session

    async def close(self) -> None:
        """Close the sessions that are still open, and wait for the loop to let go of their sockets."""
        await sockets.close(*self._sessions)


def _proxy(server: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for, as kubectl does."""
    url = urllib.parse.urlsplit(server)
    if urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)


def _expanded(paths: str) -> str:
    return os.pathsep.join(str(Path(part).expanduser()) for part in paths.split(os.pathsep) if part)


def _exists(paths: str) -> bool:
    return any(Path(part).exists() for part in _expanded(paths).split(os.pathsep) if part)
