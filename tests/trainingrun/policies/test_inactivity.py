from runwright.ports import Metric
from runwright.trainingrun.policies.inactivity import Silence, last_logged, silence
from tests.trainingrun.samples import NOW, ago


def points(**at: float) -> dict[str, Metric]:
    return {name.replace("__", "/"): Metric(name, 1.0, 1, ago(seconds)) for name, seconds in at.items()}


def test_the_newest_point_counts() -> None:
    assert last_logged(points(loss=60, acc=20), ago(500), NOW) == ago(20)


def test_an_attempt_that_has_logged_nothing_yet_has_its_time_from_its_start() -> None:
    assert last_logged({}, ago(500), NOW) == ago(500)
    assert last_logged(points(loss=900), ago(500), NOW) == ago(500)


def test_system_metrics_are_no_sign_of_life() -> None:
    assert last_logged(points(system__gpu=1, loss=60), ago(500), NOW) == ago(60)


def test_a_clock_that_is_ahead_gains_no_time() -> None:
    assert last_logged(points(loss=-3600), ago(500), NOW) == NOW


def test_a_log_line_is_a_sign_of_life_where_metrics_are_none() -> None:
    assert silence(100, ago(150), None, NOW) == Silence(150, -50)
    assert silence(100, ago(150), ago(30), NOW) == Silence(30, 70)
    assert silence(100, ago(20), ago(300), NOW) == Silence(20, 80)
