from datetime import timedelta

import pytest

from runwright.trainingrun.policies.publishing import due_in, interval
from tests.trainingrun.samples import NOW, ago


@pytest.mark.parametrize(("age", "seconds"), [(0, 5), (299, 5), (300, 15), (3599, 15), (3600, 60), (10**6, 60)])
def test_the_interval_grows_with_the_age(age: float, seconds: float) -> None:
    assert interval(timedelta(seconds=age)) == seconds


def test_the_first_metrics_are_written_at_once() -> None:
    assert due_in(None, ago(1), NOW) == 0
    assert due_in(ago(10), None, NOW) == 0


def test_the_next_ones_wait_for_the_rest_of_the_interval() -> None:
    assert due_in(ago(10), ago(2), NOW) == 3
    assert due_in(ago(400), ago(2), NOW) == 13
    assert due_in(ago(10), ago(9), NOW) == -4
