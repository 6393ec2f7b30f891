"""What one operator process remembers between passes: only what costs nothing to forget."""

from dataclasses import dataclass, field
from datetime import datetime

from runwright.ports import Json


@dataclass(slots=True)
class Memory:
    """Mutable, one per process, keyed by uid."""

    published: dict[str, datetime] = field(default_factory=dict)
    """When a run's metrics were last written to its status."""
    fresh_marks: set[str] = field(default_factory=set)
    """Runs whose mark this process wrote and for which it has not tried to create the MLflow run yet."""
    uploaded: dict[str, set[str]] = field(default_factory=dict)
    """Pods whose log is stored as an artifact, by run."""
    made: dict[str, str] = field(default_factory=dict)
    """Ids of MLflow runs that this process made or found: the status may not tell of them yet."""
    judged: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """Step and time of the last point that early stopping has judged, by run."""
    posted: dict[str, int] = field(default_factory=dict)
    """Attempt whose Job this process has POSTed last, by run."""
    departed: dict[str, Json] = field(default_factory=dict)
    """TrainingRuns that are deleted, or over and out of the watch, whose MLflow run is still to be closed; as last
    seen."""

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a run that is over."""
        self.published.pop(uid, None)
        self.uploaded.pop(uid, None)
        self.made.pop(uid, None)
        self.judged.pop(uid, None)
        self.posted.pop(uid, None)
        self.fresh_marks.discard(uid)
