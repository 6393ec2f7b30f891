from runwright.trainingrun.policies.deadlines import running_since, seconds_left
from tests.trainingrun.samples import NOW, ago, failed_pod, pod, running_pod


def test_an_attempt_runs_when_the_last_of_its_nodes_does() -> None:
    assert running_since((running_pod(0, since=60), running_pod(1, since=20)), 2) == ago(20)


def test_it_does_not_run_while_a_node_is_missing() -> None:
    assert running_since((running_pod(0), pod(1)), 2) is None
    assert running_since((running_pod(0),), 2) is None
    assert running_since((), 1) is None


def test_a_node_that_ended_has_run() -> None:
    assert running_since((failed_pod(0, since=30),), 1) == ago(30)


def test_the_clock_ticks_while_the_attempt_runs() -> None:
    assert seconds_left(100, 0, ago(30), NOW) == 70


def test_earlier_attempts_count() -> None:
    assert seconds_left(100, 60, ago(50), NOW) == -10


def test_nothing_ticks_without_a_limit_or_while_nothing_runs() -> None:
    assert seconds_left(None, 0, ago(30), NOW) is None
    assert seconds_left(100, 99, None, NOW) is None
