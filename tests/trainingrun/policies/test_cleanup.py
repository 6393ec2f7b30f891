from runwright.trainingrun.policies.cleanup import expired, life_left
from tests.trainingrun.samples import NOW, ago, job


def test_a_job_goes_when_its_time_is_over() -> None:
    old = job(1, ended=ago(100))
    young = job(2, ended=ago(40))
    assert expired([old, young], 100, NOW) == ((old,), 60.0)


def test_time_counts_from_the_end_not_from_the_creation() -> None:
    assert expired([job(created=ago(10_000), ended=ago(1))], 100, NOW) == ((), 99.0)


def test_zero_seconds_mean_at_once() -> None:
    done = job(ended=NOW)
    assert expired([done], 0, NOW) == ((done,), None)


def test_what_runs_or_goes_already_is_left_alone() -> None:
    assert expired([job(), job(2, ended=ago(100), deleting=True)], 0, NOW) == ((), None)


def test_the_run_itself_stays_unless_somebody_asked() -> None:
    assert life_left(None, ago(500), NOW) is None
    assert life_left(60, None, NOW) is None


def test_its_time_to_live_counts_from_its_end() -> None:
    assert life_left(60, ago(20), NOW) == 40
    assert life_left(60, ago(90), NOW) == -30
