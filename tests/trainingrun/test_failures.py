import pytest

from runwright.trainingrun.failures import ended, first_failed
from runwright.trainingrun.plan import Ended
from tests.trainingrun.samples import NOW, ago, failed_job, failed_pod, job, running_pod

RULE_0 = "Pod team-a/{} has condition DisruptionTarget matching FailJob rule at index 0"
RULE_1 = "Container trainer for pod team-a/{} failed with exit code {} matching FailJob rule at index 1"


def test_a_job_that_is_not_finished_has_not_ended() -> None:
    assert ended(job(), (failed_pod(),)) is None


def test_a_complete_job_succeeded_when_it_says() -> None:
    done = job(result="Complete", ended=ago(5))
    assert ended(done, ()) == Ended("Succeeded", "Succeeded", "all nodes exited with 0", ago(5))


def test_an_exit_code_is_a_failure_of_the_code() -> None:
    bad = failed_pod(node="n1")
    over = ended(failed_job(message=RULE_1.format(bad.name, 3)), (bad,))
    assert over == Ended("Failure", "AppFailed", f"node 0 (pod {bad.name} on n1) exited with code 3", NOW, bad, 3)


def test_the_job_alone_must_do_when_the_pods_are_gone() -> None:
    message = RULE_1.format("mnist-1-0-x", 7)
    assert ended(failed_job(message=message), ()) == Ended("Failure", "AppFailed", message, NOW, None, 7)


def test_the_pod_that_the_job_names_is_to_blame() -> None:
    early = failed_pod(0, code=1, finished=ago(9))
    named = failed_pod(1, code=3, finished=ago(5))
    over = ended(failed_job(message=RULE_1.format(named.name, 3)), (early, named))
    assert over is not None
    assert (over.pod, over.exit_code) == (named, 3)


def test_else_the_one_that_failed_first() -> None:
    early, late = failed_pod(1, finished=ago(9)), failed_pod(0, finished=ago(5))
    assert first_failed((late, early)) == early
    assert first_failed((running_pod(),)) is None


def test_a_drained_node_is_a_disruption() -> None:
    gone = failed_pod(code=143, disrupted="the node is drained")
    over = ended(failed_job(message=RULE_0.format(gone.name)), (gone,))
    assert over == Ended("Disruption", "Disrupted", "the node is drained", NOW, gone, 143)


def test_a_disruption_is_known_from_the_job_alone() -> None:
    over = ended(failed_job(message=RULE_0.format("x")), ())
    assert over is not None
    assert (over.outcome, over.reason, over.pod) == ("Disruption", "Disrupted", None)


@pytest.mark.parametrize("reason", ["Evicted", "NodeLost", "Terminated", "OutOfcpu", "UnexpectedAdmissionError"])
def test_what_the_node_did_is_a_disruption_without_any_rule(reason: str) -> None:
    lost = failed_pod(code=None, reason=reason, message="it was low on memory")
    over = ended(failed_job(reason="BackoffLimitExceeded"), (lost,))
    assert over is not None
    assert (over.outcome, over.reason, over.message) == ("Disruption", reason, "it was low on memory")


def test_a_pod_that_vanished_without_an_exit_code_is_a_disruption() -> None:
    said = "Job has reached the specified backoff limit"
    over = ended(failed_job(reason="BackoffLimitExceeded", message=said), ())
    assert over == Ended("Disruption", "PodLost", "a pod was deleted before it could tell how it ended", NOW)


def test_a_pod_that_a_node_rejected_is_a_disruption_whatever_the_node_calls_it() -> None:
    rejected = failed_pod(1, code=None, reason="NodeAffinity", message="the node's labels changed", finished=None)
    ended_for_it = failed_pod(0, code=143)
    over = ended(failed_job(reason="BackoffLimitExceeded"), (ended_for_it, rejected))
    assert over == Ended("Disruption", "NodeAffinity", "the node's labels changed", NOW, rejected)


def test_a_pod_deleted_before_it_had_a_node_is_a_disruption() -> None:
    unstarted = failed_pod(code=None, finished=None)
    over = ended(failed_job(reason="BackoffLimitExceeded"), (unstarted,))
    assert over is not None
    assert (over.outcome, over.reason, over.exit_code) == ("Disruption", "PodLost", None)


def test_out_of_memory_names_the_remedy() -> None:
    killed = failed_pod(code=137, exit_reason="OOMKilled")
    over = ended(failed_job(message=RULE_1.format(killed.name, 137)), (killed,))
    assert over is not None
    assert (over.reason, over.exit_code) == ("OOMKilled", 137)
    assert "resourcesPerNode.memory" in over.message


def test_a_command_that_does_not_start_names_the_remedy() -> None:
    bad = failed_pod(code=128, exit_reason="StartError", exit_message="exec: no such file")
    over = ended(failed_job(), (bad,))
    assert over is not None
    assert over.reason == "StartError"
    assert "exec: no such file" in over.message
    assert "check command and image" in over.message


def test_the_jobs_own_deadline_is_one() -> None:
    over = ended(failed_job(reason="DeadlineExceeded", message="too long"), ())
    assert over == Ended("Failure", "DeadlineExceeded", "too long", NOW)
