import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.apis.v1alpha1.trainingrun_rules import EarlyStopping
from runwright.ports import Metric
from runwright.trainingrun.policies.early_stopping import verdict
from tests.trainingrun.samples import NOW


def curve(*values: float, first: int = 1) -> list[Metric]:
    return [Metric("acc", v, first + n, NOW + timedelta(seconds=n)) for n, v in enumerate(values)]


def why(points: list[Metric], direction: str = "Maximize", **rule: Any) -> str:
    return verdict(EarlyStopping.from_dict(rule), "acc", direction, points)


def test_without_a_point_it_goes_on() -> None:
    assert why([], patience=1, threshold="0") == ""


@pytest.mark.parametrize(
    ("values", "direction", "threshold", "stops"),
    [
        ((0.5, 0.98), "Maximize", "0.99", False),
        ((0.5, 0.99), "Maximize", "0.99", True),
        ((0.5, 0.01), "Minimize", "0.02", True),
        ((0.5, 0.03), "Minimize", "0.02", False),
        ((0.99, 0.5), "Maximize", "0.99", False),  # only where it is now counts
        ((math.nan,), "Maximize", "0", False),
        ((math.nan,), "Minimize", "0", False),
        ((math.inf,), "Maximize", "1e300", True),
    ],
)
def test_threshold(values: tuple[float, ...], direction: str, threshold: str, stops: bool) -> None:
    assert bool(why(curve(*values), direction, threshold=threshold)) is stops


def test_the_threshold_is_named() -> None:
    assert why(curve(0.5, 0.995), threshold="0.99") == "acc is 0.995 at step 2: the threshold 0.99 is reached"


@pytest.mark.parametrize(
    ("values", "direction", "stops"),
    [
        ((0.1, 0.2, 0.3), "Maximize", False),
        ((0.3, 0.2, 0.1), "Maximize", True),
        ((0.3, 0.2, 0.1), "Minimize", False),
        ((0.3, 0.3, 0.3), "Maximize", True),  # as good is not better
        ((0.3, 0.2), "Maximize", False),
        ((0.3, math.nan, math.nan), "Maximize", True),
        ((math.nan, math.nan, math.nan), "Minimize", True),
        ((math.nan, 0.1, 0.1), "Maximize", False),
        ((-math.inf, -math.inf, 0.1), "Maximize", False),
        ((math.inf, math.inf, math.inf), "Maximize", True),
    ],
)
def test_patience_of_two(values: tuple[float, ...], direction: str, stops: bool) -> None:
    assert bool(why(curve(*values), direction, patience=2)) is stops


def test_patience_says_what_was_best() -> None:
    assert why(curve(0.5, 0.4, 0.3), patience=2) == "acc has not become better than 0.5 (step 1) in 2 steps"
    assert why(curve(math.nan, math.nan), patience=1) == "acc has not become a number in 1 steps"


def test_small_improvements_are_none() -> None:
    points = curve(0.5, 0.504, 0.508)
    assert why(points, patience=2) == ""
    assert why(points, patience=2, minDelta="0.01") != ""
    # but they add up, as in Keras and Lightning
    assert why(curve(0.5, 0.504, 0.512), patience=2, minDelta="0.01") == ""


def test_nothing_stops_before_the_first_steps_are_through() -> None:
    points = curve(0.99, 0.9, 0.9)
    assert why(points, patience=1, threshold="0", minSteps=4) == ""
    assert why(points, patience=1, minSteps=3) != ""


def test_a_step_that_a_later_attempt_repeats_counts_once() -> None:
    again = [*curve(0.5, 0.4, 0.3), Metric("acc", 0.6, 2, NOW + timedelta(hours=1))]
    assert why(again, patience=2) == ""
    assert why(curve(0.5, 0.4, 0.3), patience=2) != ""


@given(st.lists(st.floats(), max_size=12), st.integers(1, 4), st.sampled_from(["Maximize", "Minimize"]))
def test_it_never_stops_while_it_gets_better_each_time(values: list[float], patience: int, direction: str) -> None:
    numbers = sorted({v for v in values if math.isfinite(v)}, reverse=direction == "Minimize")
    assert why(curve(*numbers), direction, patience=patience) == ""


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=12), st.integers(1, 12))
def test_maximizing_is_minimizing_the_negative(values: list[float], patience: int) -> None:
    up, down = why(curve(*values), patience=patience), why(curve(*(-v for v in values)), "Minimize", patience=patience)
    assert bool(up) is bool(down)
