import pytest

from runwright.trainingrun.observed import Problem
from runwright.trainingrun.policies.waiting import INITIALIZING, why_waiting
from tests.trainingrun.samples import pod, running_pod


@pytest.mark.parametrize("reason", ["", "ContainerCreating", "PodInitializing"])
def test_what_passes_by_itself_is_initializing(reason: str) -> None:
    assert why_waiting((pod(waiting_reason=reason),)) == INITIALIZING
    assert why_waiting(()) == INITIALIZING


def test_the_scheduler_is_quoted() -> None:
    told = Problem("Unschedulable", "node 1: 0/3 nodes are available")
    assert why_waiting((running_pod(0), pod(1, unschedulable="0/3 nodes are available"))) == told


def test_both_words_for_a_missing_image_are_one() -> None:
    first = why_waiting((pod(waiting_reason="ErrImagePull", waiting_message="rpc error 1"),))
    later = why_waiting((pod(waiting_reason="ImagePullBackOff", waiting_message="back-off 20s"),))
    assert first == later
    assert first.reason == "ImagePullBackOff"
    assert "spec.image" in first.message


def test_other_reasons_are_kept_with_their_message() -> None:
    told = why_waiting((pod(waiting_reason="CreateContainerConfigError", waiting_message='secret "x" not found'),))
    assert told == Problem("CreateContainerConfigError", 'node 0: secret "x" not found')


def test_a_malformed_image_names_its_field() -> None:
    assert "spec.image" in why_waiting((pod(waiting_reason="InvalidImageName"),)).message


def test_a_reason_without_a_message_speaks_for_itself() -> None:
    assert why_waiting((pod(waiting_reason="Strange"),)) == Problem("Strange", "node 0: Strange")
