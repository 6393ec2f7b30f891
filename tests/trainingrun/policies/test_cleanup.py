from runwright.trainingrun.policies.cleanup import expired
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
