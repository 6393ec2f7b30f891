from runwright.trainingrun.policies.pending import seconds_left
from tests.trainingrun.samples import NOW, ago


def test_it_counts_from_creation() -> None:
    assert seconds_left(100, ago(30), None, NOW) == 70
    assert seconds_left(100, ago(130), None, NOW) == -30


def test_a_run_that_was_suspended_has_its_time_anew() -> None:
    assert seconds_left(100, ago(500), ago(30), NOW) == 70


def test_without_a_limit_nothing_ticks() -> None:
    assert seconds_left(None, ago(500), None, NOW) is None
