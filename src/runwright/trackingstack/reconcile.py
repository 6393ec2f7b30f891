"""observe -> decide -> status of a TrackingStack; its server is looked at again every half minute."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.apis.v1alpha1.trackingstack_parts import ExternalServer
from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.names import API_VERSION
from runwright.ports import Cluster, Key, Kind, Tracker, Trackers, TrackingServer
from runwright.stored import parse
from runwright.trackingstack.decide import next_status

LOOK_AGAIN: Final = 30.0
LOOK_SOON: Final = 5.0


class TrackingStackReconciler:
    """Keeps the status of TrackingStacks true.

    Args:
        cluster: The API server.
        trackers: The tracking servers.
        clock: The time.
        changed: Called when a stack's status was written: runs may wait for it.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        trackers: Trackers,
        clock: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._trackers = trackers
        self._clock = clock
        self._changed = changed

    async def reconcile(self, key: Key) -> float | None:
        """Look at the server, write the status if it changed.

        Returns:
            Seconds until the server should be looked at again.

        Raises:
            TransientError, ConflictError: try again.
            InvalidObjectError: the stored object does not parse.
        """
        body = self._cluster.cached(Kind.TRACKING_STACK, key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        stack = parse(TrackingStack, body)
        external = stack.spec.server.external if stack.spec.server else None
        if external is None:
            return None  # managed stacks come next
        problem = await _problem(self._trackers(_server(key, external)))
        status = next_status(stack, problem, self._clock())
        if status != stack.status:
            patch = {
                "apiVersion": API_VERSION,
                "kind": "TrackingStack",
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "resourceVersion": stack.metadata.resource_version,
                },
                "status": status.to_dict(),
            }
            await self._cluster.apply_status(Kind.TRACKING_STACK, patch)
            self._changed()
        return LOOK_SOON if problem else LOOK_AGAIN


def _server(key: Key, external: ExternalServer) -> TrackingServer:
    """The same as runs get from the status (`runwright.servers`): each other one would be another connection."""
    operator = external.operator_secret_ref or external.credentials_secret_ref
    return TrackingServer(
        external.tracking_uri.rstrip("/"),
        operator_secret=Key(key.namespace, operator.name) if operator else None,
        ca_bundle=external.ca_bundle or "",
    )


async def _problem(tracker: Tracker) -> str:
    try:
        await tracker.ping()
    except (TrackerUnavailableError, RefusedError) as error:
        return str(error)
    return ""
