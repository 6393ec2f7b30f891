from dataclasses import replace
from datetime import timedelta

import pytest

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_rules import Retry
from runwright.trainingrun.plan import Ended, Finished, Restarting
from runwright.trainingrun.policies.retry import after, backoff
from tests.trainingrun.samples import NOW

FAILED = Ended("Failure", "AppFailed", "node 0 exited with code 3", NOW)
DRAINED = Ended("Disruption", "Evicted", "the node is drained", NOW)


@pytest.mark.parametrize(("before", "seconds"), [(0, 10), (1, 20), (2, 40), (5, 320), (6, 600), (10_000, 600)])
def test_the_wait_doubles_up_to_its_limit(before: int, seconds: int) -> None:
    assert backoff(Retry(), before) == timedelta(seconds=seconds)


def test_a_success_ends_the_run() -> None:
    done = Ended("Succeeded", "Succeeded", "all nodes exited with 0", NOW)
    assert after(done, Retry(), TrainingRunStatus(), NOW) == Finished(
        "Succeeded", "Succeeded", "all nodes exited with 0", done
    )


def test_by_default_the_first_failure_ends_the_run() -> None:
    assert after(FAILED, Retry(), TrainingRunStatus(attempt=1), NOW) == Finished(
        "Failed", "AppFailed", "attempt 1: node 0 exited with code 3", FAILED
    )


def test_a_failure_within_the_budget_is_tried_again() -> None:
    verdict = after(FAILED, Retry(max_failures=2), TrainingRunStatus(attempt=2, failures=1), NOW)
    assert verdict == Restarting(FAILED, NOW + timedelta(seconds=20))


def test_a_spent_budget_is_named() -> None:
    verdict = after(FAILED, Retry(max_failures=2), TrainingRunStatus(attempt=3, failures=2), NOW)
    assert isinstance(verdict, Finished)
    assert verdict.message == "attempt 3: node 0 exited with code 3 (retry.maxFailures: 2)"


def test_the_two_budgets_are_apart() -> None:
    status = TrainingRunStatus(attempt=9, failures=5, disruptions=2)
    assert after(DRAINED, Retry(), status, NOW) == Restarting(DRAINED, NOW + timedelta(seconds=40))
    assert isinstance(after(FAILED, Retry(max_failures=5), status, NOW), Finished)
    spent = after(DRAINED, Retry(max_disruptions=2), status, NOW)
    assert isinstance(spent, Finished)
    assert (spent.result, spent.reason) == ("Failed", "Evicted")


def test_a_budget_that_was_raised_meanwhile_counts() -> None:
    assert isinstance(after(FAILED, Retry(max_failures=9), TrainingRunStatus(failures=8), NOW), Restarting)


def test_an_exit_code_that_is_not_to_be_tried_again_ends_the_run_at_once() -> None:
    bad = replace(FAILED, exit_code=2)
    retry = Retry(max_failures=9, non_retryable_exit_codes=(2, 7))
    verdict = after(bad, retry, TrainingRunStatus(attempt=1), NOW)
    assert isinstance(verdict, Finished)
    assert verdict.message == "attempt 1: node 0 exited with code 3 (retry.nonRetryableExitCodes)"
    assert isinstance(after(replace(bad, exit_code=3), retry, TrainingRunStatus(), NOW), Restarting)
    drained = replace(DRAINED, exit_code=2)
    assert isinstance(after(drained, retry, TrainingRunStatus(), NOW), Restarting)


def test_what_would_end_the_same_way_is_not_tried_again() -> None:
    wrong = replace(FAILED, reason="DatasetMismatch", final=True)
    verdict = after(wrong, Retry(max_failures=9), TrainingRunStatus(attempt=1), NOW)
    assert isinstance(verdict, Finished)
    assert verdict.reason == "DatasetMismatch"


def test_a_suspended_attempt_uses_up_no_budget() -> None:
    over = Ended("Suspended", "Preempted", "", NOW)
    assert after(over, Retry(max_failures=0, max_disruptions=0), TrainingRunStatus(), NOW) == Restarting(over, NOW)


def test_a_wait_may_be_spread() -> None:
    assert after(DRAINED, Retry(), TrainingRunStatus(), NOW, spread=0.5) == Restarting(
        DRAINED, NOW + timedelta(seconds=15)
    )
