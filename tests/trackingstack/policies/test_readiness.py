from typing import Any

import pytest

from runwright.trackingstack.observed import PodView, Problem
from runwright.trackingstack.parts import Part
from runwright.trackingstack.policies.readiness import SAID, STARTING, why_not
from tests.trackingstack.samples import claim, container, pod, stack, view, workload

OF = stack()


def told(*pods: PodView, part: Part = Part.DATABASE, **changes: Any) -> Problem:
    broken = {"workload": workload("a-postgresql", ready=0)} | changes
    return why_not(part, view(OF, part, pods=pods, **broken))


def test_what_passes_by_itself_says_nothing() -> None:
    assert told(workload=None) is STARTING
    assert told(pod()) is STARTING
    assert told(pod("p", container(waiting_reason="PodInitializing"))) is STARTING
    assert told(pod("p", container(exit_code=0))) is STARTING
    assert told(pod("p", container(waiting_reason="ErrImagePull"), deleting=True)) is STARTING


def test_pods_that_nobody_makes_are_explained() -> None:
    assert "kubectl describe statefulset a-postgresql" in told().message
    refusal = 'pods "x" is forbidden: exceeded quota: compute'
    problem = told(workload=workload("w", ready=0, failure=refusal))
    assert (problem.reason, problem.message) == ("WaitingForQuota", refusal)
    assert told(workload=workload("w", ready=0, failure="violates PodSecurity")).reason == "PodsRefused"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
@pytest.mark.parametrize(("part", "field"), [(Part.DATABASE, "spec.postgresql"), (Part.SERVER, "spec.server")])
def test_an_image_that_cannot_be_pulled_is_one_problem(reason: str, part: Part, field: str) -> None:
    first = told(pod("p", container(waiting_reason=reason, waiting_message="try 1")), part=part)
    assert first.reason == "ImagePullBackOff"
    assert first == told(pod("p", container(waiting_reason=reason, waiting_message="try 2")), part=part)
    assert f"{field}.image" in first.message


def test_a_pod_without_a_place_names_what_is_short() -> None:
    text = "0/1 nodes are available: 1 Insufficient memory."
    assert told(pod(unschedulable=text)) == Problem("Unschedulable", text)
    pending = told(pod(unschedulable="unbound claims"), claim=claim(bound=False))
    assert pending.reason == "VolumePending"
    assert "data-a-postgresql-0 waits for a volume of storage class standard: unbound claims" in pending.message


def test_a_secret_that_is_missing_is_told_in_the_kubelets_words() -> None:
    waits = container(waiting_reason="CreateContainerConfigError", waiting_message='secret "x" not found')
    assert told(pod("p", waits)) == Problem("CreateContainerConfigError", 'pod p: secret "x" not found')


def test_a_crash_is_told_with_the_last_words_whether_it_waits_or_runs_again() -> None:
    ended = {"exit_code": 3, "exit_reason": "Error", "exit_message": "no such table"}
    problem = told(pod("p", container("migrate", **ended, waiting_reason="CrashLoopBackOff")))
    assert problem == told(pod("p", container("migrate", **ended)))
    assert problem == Problem("CrashLoopBackOff", "container migrate ended with exit code 3: no such table")
    assert told(pod("p", container(exit_code=1))).message == "container server ended with exit code 1"


def test_of_long_last_words_the_end_is_kept() -> None:
    text = "x" * 5000 + "the reason"
    problem = told(pod("p", container(exit_code=1, exit_message=text)))
    assert problem.message.endswith("the reason")
    assert len(problem.message) < SAID + 100


def test_too_little_memory_names_the_field() -> None:
    problem = told(pod("p", container(exit_code=137, exit_reason="OOMKilled")), part=Part.SERVER)
    assert (problem.reason, "spec.server.resources.limits.memory" in problem.message) == ("OOMKilled", True)


def test_a_refused_major_upgrade_says_how_and_does_not_pass_by_itself() -> None:
    said = "the data is of PostgreSQL 16, the image of 17: restore a backup"
    problem = told(pod("p", container("refuse-major-upgrade", exit_code=1, exit_message=said)))
    assert problem == Problem("MajorUpgradeRefused", said, stalled=True)


def test_the_first_pod_with_an_obstacle_speaks() -> None:
    fine, broken = pod("p-0", ready=True), pod("p-1", container(waiting_reason="ErrImagePull"))
    assert told(fine, broken).reason == "ImagePullBackOff"
