import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.apis.v1alpha1.trainingrun_status import ProgressStatus
from runwright.trainingrun.policies.progress import TOTALS, progress
from tests.trainingrun.samples import metric


def told(values: Mapping[str, float], parameters: Mapping[str, str] | None = None, ran: float = 0) -> object:
    return progress({name: metric(name, value) for name, value in values.items()}, parameters or {}, ran)


def test_a_share_is_taken_at_its_word() -> None:
    assert told({"progress": 0.25}, ran=30) == ProgressStatus(percentage=25, estimated_remaining_seconds=90)


def test_finished_epochs_are_counted_against_the_parameter() -> None:
    expected = ProgressStatus(percentage=20, step=1, total_steps=5, estimated_remaining_seconds=40)
    assert told({"epoch": 1}, {"epochs": "5"}, ran=10) == expected


@pytest.mark.parametrize("name", TOTALS)
def test_the_usual_names_of_the_total_are_known(name: str) -> None:
    assert told({"epoch": 5}, {name: "10"}) == ProgressStatus(percentage=50, step=5, total_steps=10)


def test_the_share_wins_over_epochs() -> None:
    assert told({"progress": 0.5, "epoch": 1}, {"epochs": "10"}) == ProgressStatus(percentage=50)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_share_that_is_none_falls_back_to_epochs(value: float) -> None:
    found = told({"progress": value, "epoch": 1}, {"epochs": "4"})
    assert found == ProgressStatus(percentage=25, step=1, total_steps=4)


@pytest.mark.parametrize("total", ["", "0", "-1", "many", "1.5", "9" * 400])
def test_a_total_that_is_none_tells_nothing(total: str) -> None:
    assert told({"epoch": 1}, {"epochs": total}) is None


def test_nothing_is_told_without_such_metrics() -> None:
    assert told({"loss": 0.5}, {"epochs": "5"}) is None


def test_floating_point_does_not_cost_a_percent() -> None:
    assert told({"progress": 0.29}) == ProgressStatus(percentage=29)


def test_a_remaining_time_without_end_is_left_out() -> None:
    assert told({"progress": 5e-324}, ran=1e6) == ProgressStatus(percentage=0)


@given(
    progress_value=st.floats(),
    epoch=st.floats(),
    total=st.integers(-1, 10**30).map(str),
    ran=st.floats(0, 1e12),
)
def test_whatever_is_logged_fits_the_api(progress_value: float, epoch: float, total: str, ran: float) -> None:
    for values in ({"progress": progress_value}, {"epoch": epoch}, {"progress": progress_value, "epoch": epoch}):
        told(values, {"epochs": total}, ran)  # the model refuses what is out of bounds
