"""Metrics as the status shows them: bounded, as text, with the objective's best."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRunSpec, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import (
    CheckpointStatus,
    MetricStatus,
    ObjectiveStatus,
    ProgressStatus,
)
from runwright.ports import Metric
from runwright.trainingrun.policies.progress import TELLING, progress

KEPT_METRICS: Final = 64
NAME_LIMIT: Final = 250
CHECKPOINT: Final = "checkpoint"
"""Metric that the code logs, with any value, at the step of each checkpoint it has written."""


def as_text(value: float) -> str:
    """Write a number so that it reads back the same to ten digits; NaN and infinities by MLflow's names."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return format(value, ".10g")


def best_of(points: Iterable[Metric], direction: str) -> tuple[float, int] | None:
    """Best value and its step, the earliest of equals; NaN is never best. None without a number."""
    sign = 1 if direction == "Maximize" else -1
    numbers = [p for p in points if not math.isnan(p.value)]
    best = max(numbers, key=lambda p: (sign * p.value, -p.step), default=None)
    return (best.value, best.step) if best is not None else None


def measured(
    spec: TrainingRunSpec,
    status: TrainingRunStatus,
    metrics: Mapping[str, Metric],
    ran_seconds: float,
    best: tuple[float, int] | None,
) -> dict[str, Any]:
    """Compute the status fields that show metrics.

    Args:
        spec: Names the objective and the parameters that tell totals.
        status: The status so far; holds the best value seen.
        metrics: The latest points.
        ran_seconds: How long the run has run, all attempts together.
        best: Best value over the whole history when that was read; settles the question.
    """
    changed: dict[str, Any] = {"metrics": _shown(spec, metrics)}
    if (told := progress(metrics, spec.parameters, ran_seconds)) is not None:
        changed["progress"] = told
    if (point := metrics.get(CHECKPOINT)) is not None:
        changed["checkpoint"] = CheckpointStatus(step=point.step, time=point.timestamp)
    if spec.objective is not None:
        changed["objective"] = _objective(spec, status.objective, metrics, best)
    return changed


def complete(told: ProgressStatus | None) -> ProgressStatus:
    """Progress of a run that succeeded."""
    step = told.step if told else None
    total = told.total_steps if told else None
    return ProgressStatus(percentage=100, step=step, total_steps=total)


def _shown(spec: TrainingRunSpec, metrics: Mapping[str, Metric]) -> tuple[MetricStatus, ...]:
    """At most 64: the objective and what tells progress, the user's by name, MLflow's system metrics last."""
    objective = spec.objective.metric if spec.objective else ""
    fitting = (n for n in metrics if len(n) <= NAME_LIMIT)
    names = sorted(fitting, key=lambda n: (n not in (objective, CHECKPOINT, *TELLING), n.startswith("system/"), n))
    chosen = sorted(names[:KEPT_METRICS])
    return tuple(
        MetricStatus(name=n, value=as_text(m.value), step=m.step, timestamp=m.timestamp)
        for n in chosen
        for m in (metrics[n],)
    )


def _objective(
    spec: TrainingRunSpec,
    old: ObjectiveStatus | None,
    metrics: Mapping[str, Metric],
    best: tuple[float, int] | None,
) -> ObjectiveStatus | None:
    assert spec.objective is not None  # noqa: S101  # the caller's branch; narrows the type
    latest = metrics.get(spec.objective.metric)
    if latest is None:
        return old
    if best is None:
        points = [latest]
        if old is not None and old.best is not None:
            points.append(Metric(latest.name, float(old.best), old.best_step or 0, latest.timestamp))
        best = best_of(points, spec.objective.direction)
    return ObjectiveStatus(
        metric=latest.name,
        value=as_text(latest.value),
        step=latest.step,
        best=as_text(best[0]) if best else None,
        best_step=best[1] if best else None,
    )
