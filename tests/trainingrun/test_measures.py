import math
from datetime import timedelta
from typing import Any

import pytest

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import ObjectiveStatus, ProgressStatus
from runwright.ports import Metric
from runwright.trainingrun.measures import as_text, best_of, complete, measured
from tests.trainingrun.samples import NOW, metric, run

OBJECTIVE = {"metric": "acc", "direction": "Maximize"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9821, "0.9821"),
        (1.0, "1"),
        (0.1 + 0.2, "0.3"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (-1.7976931348623157e308, "-1.797693135e+308"),
    ],
)
def test_numbers_are_short_text(value: float, text: str) -> None:
    assert as_text(value) == text


def test_the_best_is_the_earliest_of_equals() -> None:
    points = [metric("acc", 0.9, 2), metric("acc", 0.9, 1), metric("acc", 0.5, 0)]
    assert best_of(points, "Maximize") == (0.9, 1)
    assert best_of(points, "Minimize") == (0.5, 0)


def test_nan_is_never_the_best() -> None:
    points = [metric("acc", math.nan, 0), metric("acc", 0.1, 1), metric("acc", math.nan, 2)]
    assert best_of(points, "Maximize") == (0.1, 1)
    assert best_of(points[:1], "Maximize") is None
    assert best_of([], "Minimize") is None


def look(metrics: dict[str, Metric], status: TrainingRunStatus | None = None, **more: Any) -> dict[str, Any]:
    spec = run(objective=OBJECTIVE).spec
    return measured(spec, status or TrainingRunStatus(), metrics, 0, more.get("best"))


def test_the_best_so_far_is_kept_while_the_latest_is_worse() -> None:
    old = TrainingRunStatus(objective=ObjectiveStatus(metric="acc", value="0.9", step=1, best="0.9", best_step=1))
    assert look({"acc": metric("acc", 0.8, 2)}, old)["objective"] == ObjectiveStatus(
        metric="acc", value="0.8", step=2, best="0.9", best_step=1
    )


def test_the_whole_history_settles_the_best() -> None:
    old = TrainingRunStatus(objective=ObjectiveStatus(metric="acc", value="0.9", step=1, best="0.9", best_step=1))
    found = look({"acc": metric("acc", 0.8, 2)}, old, best=(0.95, 0))["objective"]
    assert (found.best, found.best_step) == ("0.95", 0)


def test_an_objective_of_nan_is_shown_without_a_best() -> None:
    assert look({"acc": metric("acc", math.nan, 2)})["objective"] == ObjectiveStatus(metric="acc", value="NaN", step=2)


def test_nan_does_not_wipe_out_the_best() -> None:
    old = TrainingRunStatus(objective=ObjectiveStatus(metric="acc", value="0.9", step=1, best="0.9", best_step=1))
    found = look({"acc": metric("acc", math.nan, 2)}, old)["objective"]
    assert (found.value, found.best, found.best_step) == ("NaN", "0.9", 1)


def test_an_objective_that_was_not_logged_is_not_invented() -> None:
    assert look({"loss": metric("loss", 1)})["objective"] is None


def test_at_most_64_metrics_are_shown_the_telling_ones_among_them() -> None:
    names = [f"a{n:03}" for n in range(80)] + ["zz", "acc", "epoch", "system/cpu"]
    shown = [m.name for m in look({name: metric(name, 1) for name in names})["metrics"]]
    assert len(shown) == 64
    assert {"acc", "epoch"} <= set(shown)
    assert "system/cpu" not in shown
    assert shown == sorted(shown)


def test_names_beyond_the_bound_make_room() -> None:
    names = ["x" * 251, *(f"m{n}" for n in range(64))]
    shown = [m.name for m in look({name: metric(name, 1) for name in names})["metrics"]]
    assert len(shown) == 64


def test_each_metric_comes_with_step_and_time() -> None:
    (shown,) = look({"loss": Metric("loss", 0.25, 7, NOW + timedelta(microseconds=5))})["metrics"]
    assert shown.to_dict() == {"name": "loss", "value": "0.25", "step": 7, "timestamp": "2026-01-01T12:00:00Z"}


def test_a_success_is_a_hundred_percent() -> None:
    assert complete(None) == ProgressStatus(percentage=100)
    told = ProgressStatus(percentage=40, step=2, total_steps=5, estimated_remaining_seconds=9)
    assert complete(told) == ProgressStatus(percentage=100, step=2, total_steps=5)
