"""Where runs are tracked, as the status of a TrackingStack tells it; pure."""

from collections.abc import Iterable, Sequence

from runwright.ports import Json, Key, TrackingServer


def server_of(stack: Json, namespace: str) -> TrackingServer | None:
    """Read the server from a stored stack; None while its status has no address.

    Args:
        stack: A TrackingStack as the API server sent it.
        namespace: Of the run that is to be tracked.
    """
    meta, status = stack["metadata"], stack.get("status") or {}
    if not (uri := status.get("trackingUri")):
        return None
    secret = status.get("operatorSecretName")
    return TrackingServer(
        uri,
        status.get("uiUrl", ""),
        shared=meta["namespace"] != namespace,
        operator_secret=Key(meta["namespace"], secret) if secret else None,
        client_secret=status.get("clientSecretName", ""),
        ca_bundle=status.get("caBundle", ""),
    )


def servers_of(stacks: Iterable[Json]) -> Sequence[TrackingServer]:
    """Read the servers of all stacks that have one."""
    found = (server_of(stack, stack["metadata"]["namespace"]) for stack in stacks)
    return [server for server in found if server is not None]
