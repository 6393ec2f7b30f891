from dataclasses import replace

import pytest

from runwright.ports import Key, TrackingServer
from runwright.trainingrun.observed import PodView, Problem
from runwright.trainingrun.policies import waiting
from runwright.trainingrun.policies.waiting import INITIALIZING
from tests.trainingrun.samples import pod, running_pod

SHARED = TrackingServer(
    "https://mlflow", shared=True, operator_secret=Key("tracking", "operator"), client_secret="main-mlflow-client"
)


def why_waiting(pods: tuple[PodView, ...], server: TrackingServer | None = None) -> Problem:
    return waiting.why_waiting(pods, "team-a", server)


def stuck(message: str) -> tuple[PodView, ...]:
    return (running_pod(0), pod(1, waiting_reason="CreateContainerConfigError", waiting_message=message))


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


def test_a_login_that_is_missing_is_told_with_where_to_copy_it_from() -> None:
    assert why_waiting(stuck('secret "main-mlflow-client" not found'), SHARED) == Problem(
        "LoginNotFound",
        "Secret main-mlflow-client, with which the pods log in to MLflow, is missing in namespace team-a; "
        "copy it from namespace tracking",
    )


def test_a_login_that_is_missing_beside_its_own_stack_is_to_be_created() -> None:
    told = why_waiting(stuck('secret "main-mlflow-client" not found'), replace(SHARED, shared=False))
    assert told.message.endswith("is missing in namespace team-a; create it with the keys username and password")


def test_a_login_without_a_password_is_told() -> None:
    told = why_waiting(stuck("couldn't find key password in Secret team-a/main-mlflow-client"), SHARED)
    assert told.reason == "LoginNotFound"
    assert "Secret main-mlflow-client, with which the pods log in to MLflow, lacks the key" in told.message


@pytest.mark.parametrize(
    "message",
    [
        'secret "hub" not found',
        "couldn't find key token in Secret team-a/hub",
        'configmap "main-mlflow-client" not found',
    ],
)
@pytest.mark.parametrize("server", [SHARED, replace(SHARED, client_secret=""), None])
def test_what_the_user_refers_to_is_told_in_kubelets_words(message: str, server: TrackingServer | None) -> None:
    assert why_waiting(stuck(message), server) == Problem("CreateContainerConfigError", f"node 1: {message}")
