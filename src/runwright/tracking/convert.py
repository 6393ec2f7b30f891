"""MLflow's JSON to our values and back; pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast, get_args

from runwright.ports import Json, Metric, RunStatus, TrackedRun

T = TypeVar("T")

LARGEST: Final = 1.7976931348623157e308
"""MLflow stores Infinity as the largest double (its databases know no infinity)."""
STATUSES: Final = frozenset(get_args(RunStatus))
BATCH_PARAMS: Final = 100
"""Parameters, and tags, in one ``runs/log-batch`` (mlflow.utils.validation.MAX_PARAMS_TAGS_PER_BATCH)."""
BATCH_BYTES: Final = 900_000
"""Below the 1 MB that MLflow documents for one ``runs/log-batch`` body."""
_ENTRY_OVERHEAD: Final = 32
_MAX_SECONDS: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that datetime holds


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with what only this package needs to know of it."""

    run: TrackedRun
    artifact_uri: str
    start_ms: int


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch, MLflow's unit of time."""
    return round(moment.timestamp() * 1000)


def moment_of(ms: int) -> datetime:
    """The UTC time of a millisecond timestamp; users log any integer, so it is clamped to what datetime holds."""
    return datetime.fromtimestamp(min(max(ms, 0), _MAX_SECONDS * 1000) / 1000, tz=UTC)


def metric_value(raw: Any) -> float:
    """The number behind a metric's JSON value: NaN travels as the string ``"NaN"``, Infinity as the largest double."""
    value = math.nan if raw is None else float(raw)
    if math.isnan(value):
        return math.nan
    if abs(value) >= LARGEST:
        return math.copysign(math.inf, value)
    return value


def metric(raw: Json) -> Metric:
    """One point of a metric."""
    return Metric(
        name=str(raw.get("key", "")),
        value=metric_value(raw.get("value", 0.0)),
        step=int(raw.get("step", 0)),
        timestamp=moment_of(int(raw.get("timestamp", 0))),
    )


def stored_run(raw: Json) -> StoredRun:
    """A ``run`` of ``runs/get``, ``runs/create`` or ``runs/search``.

    Raises:
        KeyError, TypeError, ValueError: the answer is not a run.
    """
    info: Json = raw["info"]
    data: Json = raw.get("data") or {}
    status = str(info.get("status", "RUNNING"))
    if status not in STATUSES:
        raise ValueError(f"unknown run status {status!r}")
    run = TrackedRun(
        run_id=str(info["run_id"]),
        experiment_id=str(info["experiment_id"]),
        status=cast("RunStatus", status),
        deleted=info.get("lifecycle_stage") == "deleted",
        name=str(info.get("run_name", "")),
        tags=_pairs(data.get("tags")),
        params=_pairs(data.get("params")),
        metrics={point.name: point for point in map(metric, data.get("metrics") or ())},
    )
    return StoredRun(run=run, artifact_uri=str(info.get("artifact_uri", "")), start_ms=int(info.get("start_time", 0)))


def _pairs(raw: Sequence[Json] | None) -> dict[str, str]:
    return {str(entry["key"]): str(entry.get("value", "")) for entry in raw or ()}


def entries(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags or parameters as MLflow wants them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def signature(run: TrackedRun) -> tuple[object, ...]:
    """A value that is equal exactly when nothing of the run changed.

    Dataclass equality will not do: NaN differs from itself.
    """
    points = sorted((m.name, repr(m.value), m.step, m.timestamp) for m in run.metrics.values())
    return (run.status, run.deleted, run.name, sorted(run.tags.items()), sorted(run.params.items()), points)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of at most `size` items."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def batches(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Split tags or parameters into what one ``runs/log-batch`` takes: `BATCH_PARAMS` entries, `BATCH_BYTES` bytes."""
    batch: dict[str, str] = {}
    size = 0
    for key, value in values.items():
        cost = len(key.encode()) + len(value.encode()) + _ENTRY_OVERHEAD
        if batch and (len(batch) == BATCH_PARAMS or size + cost > BATCH_BYTES):
            yield batch
            batch, size = {}, 0
        batch[key] = value
        size += cost
    if batch:
        yield batch


def quoted(value: str) -> str:
    """A string literal of MLflow's search filter; it has no escapes, so quotes of one sort are left out.

    Raises:
        ValueError: the value holds both sorts of quotes.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise ValueError(f"cannot search MLflow for a value with both sorts of quotes: {value!r}")


def run_id_filter(run_ids: Iterable[str]) -> str:
    """The search filter for these runs."""
    return f"attributes.run_id IN ({', '.join(quoted(run_id) for run_id in run_ids)})"


def tag_is(tag: str, value: str) -> str:
    """The search filter for a tag's value."""
    return f"tags.`{tag}` = {quoted(value)}"


RUNNING: Final = "attributes.status = 'RUNNING'"
FINISHED: Final = "attributes.status = 'FINISHED'"
