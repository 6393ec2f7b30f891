"""Finds the URL of any object from its ``apiVersion`` and ``kind``, as kubectl does: by asking the API server."""

from dataclasses import dataclass
from urllib.parse import quote

from runwright.errors import RefusedError
from runwright.kube.client import Client


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the objects of a kind are."""

    prefix: str
    """``/api/v1`` or ``/apis/GROUP/VERSION``."""
    plural: str
    namespaced: bool

    def item(self, namespace: str, name: str) -> str:
        """Path of one object; `namespace` counts only for namespaced kinds."""
        where = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced else ""
        return f"{self.prefix}{where}/{self.plural}/{quote(name, safe='')}"


class Discovery:
    """The API server's kinds; each API version is read once, and again when a kind is not in it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Resource] = {}

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Look a kind up.

        Raises:
            ClusterUnavailableError: the API server did not tell.
            RefusedError: it does not serve the kind.
        """
        if (api_version, kind) not in self._known:
            prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            listed = await self._client.json("get", prefix, resource="discovery")
            for one in listed.get("resources") or ():
                if "/" not in one["name"]:  # a subresource
                    self._known[api_version, one["kind"]] = Resource(prefix, one["name"], one["namespaced"])
        try:
            return self._known[api_version, kind]
        except KeyError:
            raise RefusedError(f"The API server does not serve the kind {kind} of {api_version}") from None
