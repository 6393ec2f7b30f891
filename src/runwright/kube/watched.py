"""Which objects are watched: by selectors on the server, and by the same rule in the cache."""

from typing import Final, NamedTuple

from runwright.names import LABEL_RUN_UID
from runwright.ports import Json, Kind

WATCHED: Final = (Kind.TRAINING_RUN, Kind.TRACKING_STACK, Kind.JOB, Kind.POD)
TERMINAL_PHASES: Final = ("Succeeded", "Failed", "Cancelled")


class Selector(NamedTuple):
    """Server-side filters of a LIST or watch; an empty one selects everything."""

    label: str = ""
    field: str = ""


# Finished runs cost neither memory nor start-up time: when a run ends, its watch tells DELETED with the object's
# previous state (checked on a 1.36 server), and a run without a phase yet matches.
SELECTORS: Final = {
    Kind.TRAINING_RUN: Selector(field=",".join(f"status.phase!={phase}" for phase in TERMINAL_PHASES)),
    Kind.TRACKING_STACK: Selector(),
    Kind.JOB: Selector(label=LABEL_RUN_UID),
    Kind.POD: Selector(label=LABEL_RUN_UID),
}


def keeps(kind: Kind, obj: Json) -> bool:
    """Tell whether an object is selected by `SELECTORS`."""
    if kind is Kind.TRAINING_RUN:
        return (obj.get("status") or {}).get("phase") not in TERMINAL_PHASES
    if kind in (Kind.JOB, Kind.POD):
        return LABEL_RUN_UID in (obj["metadata"].get("labels") or {})
    return True
