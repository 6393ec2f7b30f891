"""Reading Secrets: live, one at a time, never cached here."""

from base64 import b64decode
from collections.abc import Mapping

from runwright.ports import Cluster, Key, Kind


async def read_secret(cluster: Cluster, key: Key) -> Mapping[str, str] | None:
    """Read the values of a Secret; None when it does not exist.

    Bytes that are no UTF-8 become surrogate escapes, so that nothing is lost.

    Raises:
        ClusterUnavailableError: the API server does not answer.
        RefusedError: the operator may not read it.
    """
    found = await cluster.get(Kind.SECRET, key)
    if found is None:
        return None
    data: Mapping[str, str] = found.get("data") or {}
    return {name: b64decode(value).decode(errors="surrogateescape") for name, value in data.items()}
