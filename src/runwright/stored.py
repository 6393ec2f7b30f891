"""Stored objects of Runwright's kinds: how they are read, and how their status is written."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus, TrainingRun, TrainingRunStatus
from runwright.errors import InvalidObjectError
from runwright.ports import Json

Stored = TypeVar("Stored", TrainingRun, TrackingStack)

_REMEDY: Final[Mapping[type, str]] = {
    TrainingRun: "delete the TrainingRun and apply it again",  # what it trains by does not change any more
    TrackingStack: "correct the TrackingStack",
}


def parse(model: type[Stored], body: Json) -> Stored:
    """Read a stored object.

    Raises:
        InvalidObjectError: it does not parse, e.g. because it was stored under another version of the CRD.
    """
    try:
        return model.from_dict(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidObjectError(f"{field}: {first['msg']}; {_REMEDY[model]}") from error


def status_patch(
    stored: TrainingRun | TrackingStack, status: TrainingRunStatus | TrackingStackStatus
) -> dict[str, Any]:
    """Build the server-side apply of a status, fenced by the version it was computed from."""
    meta = stored.metadata
    return {
        "apiVersion": stored.api_version,
        "kind": stored.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "resourceVersion": meta.resource_version,
        },
        "status": status.to_dict(),
    }
