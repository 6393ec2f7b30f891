import json
from typing import Any

import pytest

from runwright.trainingrun.failures import ended, first_failed
from runwright.trainingrun.fetched import Fetched
from runwright.trainingrun.observed import PodView, SetupView
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


# ---------------------------------------------------------------------------------------------------- SIGTERM


def test_sigterm_from_outside_is_a_disruption() -> None:
    told = failed_pod(code=143)
    over = ended(failed_job(reason="BackoffLimitExceeded"), (told,))
    assert over is not None
    assert (over.outcome, over.reason, over.exit_code) == ("Disruption", "Terminated", 143)


def test_it_is_one_even_when_the_pods_are_gone() -> None:
    over = ended(failed_job(message=RULE_1.format("x", 143)), ())
    assert over is not None
    assert (over.outcome, over.reason) == ("Disruption", "Terminated")


def test_pods_that_were_ended_because_of_a_failure_do_not_hide_it() -> None:
    bad, ended_for_it = failed_pod(1, code=3, finished=ago(9)), failed_pod(0, code=143, finished=ago(5))
    over = ended(failed_job(message=RULE_1.format(bad.name, 3)), (ended_for_it, bad))
    assert over is not None
    assert (over.outcome, over.pod, over.exit_code) == ("Failure", bad, 3)


def test_a_drained_node_is_to_blame_for_the_failure_that_followed() -> None:
    drained = failed_pod(0, code=143, disrupted="the node is drained", disrupted_at=ago(20), finished=ago(5))
    broken = failed_pod(1, code=1, finished=ago(10))
    over = ended(failed_job(message=RULE_1.format(broken.name, 1)), (drained, broken))
    assert over is not None
    assert (over.outcome, over.pod, over.message) == ("Disruption", drained, "the node is drained")


def test_a_drain_that_came_after_the_failure_is_not() -> None:
    drained = failed_pod(0, code=143, disrupted="the node is drained", disrupted_at=ago(5), finished=ago(3))
    broken = failed_pod(1, code=1, finished=ago(10))
    over = ended(failed_job(message=RULE_1.format(broken.name, 1)), (drained, broken))
    assert over is not None
    assert (over.outcome, over.exit_code) == ("Failure", 1)


# ---------------------------------------------------------------------------------------------------- launcher


def launched(**fields: Any) -> str:
    return json.dumps({"runwright": 1, **fields})


def test_the_launcher_tells_the_last_lines_and_the_scripts_words() -> None:
    bad = failed_pod(exit_message=launched(exitCode=3, tail="Traceback", message="no such column: age"))
    over = ended(failed_job(), (bad,))
    assert over is not None
    assert over.tail == "Traceback"
    assert over.message.endswith("exited with code 3: no such column: age")


def test_the_kernel_may_kill_a_process_of_the_script() -> None:
    bad = failed_pod(code=137, exit_message=launched(exitCode=137, outOfMemory=1))
    over = ended(failed_job(), (bad,))
    assert over is not None
    assert over.reason == "OOMKilled"
    assert "resourcesPerNode.memory" in over.message


def test_a_command_that_the_launcher_cannot_start_names_the_remedy() -> None:
    bad = failed_pod(code=127, exit_message=launched(message="trainn.py: no such file"))
    over = ended(failed_job(), (bad,))
    assert over is not None
    assert over.reason == "StartError"
    assert over.message.endswith("could not start its command: trainn.py: no such file; check command and image")


# ---------------------------------------------------------------------------------------------------- fetching

RULE_FETCH = "Container fetch for pod team-a/{} failed with exit code {} matching FailJob rule at index 2"


def unfetched(code: int, message: str = "", reason: str = "Error") -> PodView:
    return failed_pod(code=None, exit_reason="", setup=SetupView(code, reason, message, NOW))


def test_why_data_could_not_be_fetched_is_told_and_not_tried_again_where_that_is_no_use() -> None:
    error = {"reason": "DatasetMismatch", "message": "spec.datasets[0].sha256: ...", "retryable": False}
    pod = unfetched(92, json.dumps({"version": 1, "error": error}))
    over = ended(failed_job(message=RULE_FETCH.format(pod.name, 92)), (pod,))
    assert over == Ended("Failure", "DatasetMismatch", "spec.datasets[0].sha256: ...", NOW, pod, 92, final=True)


def test_a_store_that_does_not_answer_may_be_tried_again() -> None:
    over = ended(failed_job(message=RULE_FETCH.format("x", 75)), (unfetched(75),))
    assert over is not None
    assert (over.reason, over.final) == ("SourceUnavailable", False)


def test_the_job_alone_tells_why_nothing_was_fetched() -> None:
    over = ended(failed_job(message=RULE_FETCH.format("x", 83)), ())
    assert over is not None
    assert (over.outcome, over.reason, over.final) == ("Failure", "GitRevisionNotFound", True)


def test_a_fetch_that_ran_out_of_memory_says_so() -> None:
    over = ended(failed_job(message=RULE_FETCH.format("x", 137)), (unfetched(137, reason="OOMKilled"),))
    assert over is not None
    assert over.reason == "OOMKilled"


def test_a_fetch_that_was_ended_from_outside_is_a_disruption() -> None:
    over = ended(failed_job(reason="BackoffLimitExceeded"), (unfetched(143),))
    assert over is not None
    assert (over.outcome, over.reason) == ("Disruption", "Terminated")


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '{"git": 3, "error": "no"}', "{", "null"])
def test_what_is_no_report_says_nothing(text: str) -> None:
    assert Fetched.of(text) == Fetched()


def test_the_commit_is_read() -> None:
    found = Fetched.of('{"version": 1, "git": {"commit": "abc", "ref": "refs/heads/main"}}')
    assert (found.commit, found.ref) == ("abc", "refs/heads/main")
