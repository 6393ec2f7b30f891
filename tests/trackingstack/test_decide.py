from typing import Any

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus
from runwright.trackingstack.decide import next_status
from tests.test_conditions import computed
from tests.trainingrun.samples import NOW, ago

URI = "http://mlflow.tracking:5000/"


def stack(status: dict[str, Any] | None = None, *, generation: int = 1, **external: Any) -> TrackingStack:
    meta = {"name": "default", "namespace": "team-a", "generation": generation, "resourceVersion": "3"}
    spec = {"server": {"external": {"trackingUri": URI, **external}}}
    return TrackingStack.from_dict({"metadata": meta, "spec": spec, "status": status or {}})


def conditions(status: TrackingStackStatus) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in status.conditions}


def kstatus(status: TrackingStackStatus, generation: int = 1) -> str:
    return computed({"metadata": {"generation": generation}, "status": status.to_dict()})


def test_a_server_that_answers_is_ready() -> None:
    status = next_status(stack(), "", NOW)
    assert conditions(status) == {
        "TrackingReady": ("True", "ServerAnswers", ""),
        "Ready": ("True", "ServerAnswers", ""),
    }
    assert kstatus(status) == "Current"


def test_a_server_that_does_not_is_waited_for_not_given_up() -> None:
    status = next_status(stack(), "cannot connect", NOW)
    assert conditions(status)["TrackingReady"] == ("False", "ServerUnreachable", "cannot connect")
    assert kstatus(status) == "InProgress"


def test_addresses_are_published_either_way_without_a_slash_at_the_end() -> None:
    for problem in ("", "cannot connect"):
        status = next_status(stack(), problem, NOW)
        assert (status.tracking_uri, status.ui_url) == ("http://mlflow.tracking:5000",) * 2
    status = next_status(stack(uiUrl="https://mlflow.example/ui/"), "", NOW)
    assert status.ui_url == "https://mlflow.example/ui"


def test_the_same_again_changes_nothing() -> None:
    for problem in ("", "cannot connect", "x" * 5000):
        first = next_status(stack(), problem, ago(60))
        assert next_status(stack(first.to_dict()), problem, NOW) == first


def test_only_a_new_state_is_a_transition() -> None:
    up = next_status(stack(), "", ago(60))
    down = next_status(stack(up.to_dict()), "cannot connect", ago(30))
    other = next_status(stack(down.to_dict()), "HTTP 503", NOW)
    assert {c.last_transition_time for c in down.conditions} == {ago(30)}
    assert {c.last_transition_time for c in other.conditions} == {ago(30)}
    assert conditions(other)["Ready"][2] == "HTTP 503"


def test_recovery_takes_reconciling_away() -> None:
    down = next_status(stack(), "cannot connect", ago(30))
    up = next_status(stack(down.to_dict()), "", NOW)
    assert set(conditions(up)) == {"TrackingReady", "Ready"}


def test_the_generation_is_observed() -> None:
    status = next_status(stack(generation=4), "", NOW)
    assert status.observed_generation == 4
    assert kstatus(status, 4) == "Current"
    assert kstatus(status, 5) == "InProgress"


def test_what_clients_need_is_published() -> None:
    bare = next_status(stack(), "", NOW)
    assert (bare.operator_secret_name, bare.client_secret_name, bare.ca_bundle) == (None, None, None)
    one = next_status(stack(credentialsSecretRef={"name": "login"}, caBundle="-----BEGIN CERTIFICATE-----"), "", NOW)
    assert (one.operator_secret_name, one.client_secret_name) == ("login", "login")
    assert one.ca_bundle == "-----BEGIN CERTIFICATE-----"
    two = next_status(stack(credentialsSecretRef={"name": "login"}, operatorSecretRef={"name": "admin"}), "", NOW)
    assert (two.operator_secret_name, two.client_secret_name) == ("admin", "login")
