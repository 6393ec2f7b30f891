"""Reads stored TrainingRuns."""

from pydantic import ValidationError

from runwright.apis.v1alpha1 import TrainingRun
from runwright.errors import InvalidObjectError
from runwright.ports import Json


def parse(body: Json) -> TrainingRun:
    """Read a stored TrainingRun.

    Raises:
        InvalidObjectError: it does not parse, e.g. because it was stored under another version of the CRD.
    """
    try:
        return TrainingRun.from_dict(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidObjectError(f"{field}: {first['msg']}; delete the TrainingRun and apply it again") from error
