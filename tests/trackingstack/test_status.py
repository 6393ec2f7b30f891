from datetime import timedelta
from typing import Any

import pytest

from runwright.apis.v1alpha1 import TrackingStackStatus
from runwright.ports import Json
from runwright.trackingstack.observed import BackupView, Failure, Observed, PartView, Problem
from runwright.trackingstack.parts import Part
from runwright.trackingstack.status import next_status
from tests.test_conditions import computed
from tests.trackingstack.samples import (
    NOW,
    OPTIONS,
    ago,
    conditions,
    container,
    own_secrets,
    pod,
    release,
    secret,
    seen,
    stack,
    view,
    workload,
)

URI = "http://mlflow.tracking:5000/"
OURS = "http://a-mlflow.team-a.svc.cluster.local:5000"
PEM = "-----BEGIN CERTIFICATE-----"


def external(**fields: Any) -> dict[str, Any]:
    return {"server": {"external": {"trackingUri": URI, **fields}}}


def status_of(spec: Json, look: Observed, before: Json | None = None, **options: Any) -> TrackingStackStatus:
    return next_status(stack(spec, before, **options), look, OPTIONS, NOW)


def managed(parts: dict[Part, PartView] | None = None, before: Json | None = None, **look: Any) -> TrackingStackStatus:
    of = stack({}, before)
    return next_status(of, seen(of, parts, **look), OPTIONS, NOW)


def kstatus(status: TrackingStackStatus, generation: int = 1) -> str:
    return computed({"metadata": {"generation": generation}, "status": status.to_dict()})


# ---------------------------------------------------------------------------------------------------- somebody else's


def test_a_server_that_answers_is_ready() -> None:
    status = status_of(external(), Observed(answer=""))
    assert conditions(status) == {
        "TrackingReady": ("True", "ServerAnswers", ""),
        "Ready": ("True", "ServerAnswers", ""),
    }
    assert kstatus(status) == "Current"


def test_a_server_that_does_not_is_waited_for_not_given_up() -> None:
    status = status_of(external(), Observed(answer="cannot connect"))
    assert conditions(status)["TrackingReady"] == ("False", "ServerUnreachable", "cannot connect")
    assert kstatus(status) == "InProgress"


@pytest.mark.parametrize("answer", ["", "cannot connect"])
def test_its_addresses_are_published_either_way_without_a_slash_at_the_end(answer: str) -> None:
    status = status_of(external(), Observed(answer=answer))
    assert (status.tracking_uri, status.ui_url) == ("http://mlflow.tracking:5000",) * 2
    status = status_of(external(uiUrl="https://mlflow.example/ui/"), Observed(answer=answer))
    assert status.ui_url == "https://mlflow.example/ui"


def test_its_logins_and_authorities() -> None:
    client, operator = {"credentialsSecretRef": {"name": "client"}}, {"operatorSecretRef": {"name": "operator"}}
    none = status_of(external(), Observed(answer=""))
    assert (none.operator_secret_name, none.client_secret_name, none.ca_bundle) == (None, None, None)
    one = status_of(external(**client), Observed(answer=""))
    assert (one.operator_secret_name, one.client_secret_name) == ("client", "client")
    two = status_of(external(**client, **operator, caBundle=PEM), Observed(answer=""))
    assert (two.operator_secret_name, two.client_secret_name, two.ca_bundle) == ("operator", "client", PEM)


# ---------------------------------------------------------------------------------------------------- any


def test_the_same_again_changes_nothing() -> None:
    for answer in ("", "cannot connect", "x" * 5000):
        first = next_status(stack(external()), Observed(answer=answer), OPTIONS, ago(60))
        assert status_of(external(), Observed(answer=answer), first.to_dict()) == first


def test_only_a_new_state_is_a_transition() -> None:
    up = next_status(stack(external()), Observed(answer=""), OPTIONS, ago(60))
    down = next_status(stack(external(), up.to_dict()), Observed(answer="cannot connect"), OPTIONS, ago(30))
    other = status_of(external(), Observed(answer="HTTP 503"), down.to_dict())
    assert {c.last_transition_time for c in down.conditions} == {ago(30)}
    assert {c.last_transition_time for c in other.conditions} == {ago(30)}
    assert conditions(other)["Ready"][2] == "HTTP 503"
    recovered = status_of(external(), Observed(answer=""), down.to_dict())
    assert set(conditions(recovered)) == {"TrackingReady", "Ready"}


def test_the_generation_is_observed() -> None:
    status = status_of(external(), Observed(answer=""), generation=4)
    assert status.observed_generation == 4
    assert kstatus(status, 4) == "Current"
    assert kstatus(status, 5) == "InProgress"


# ---------------------------------------------------------------------------------------------------- our own


def test_a_stack_that_is_as_wanted() -> None:
    status = managed()
    assert conditions(status) == {
        "DatabaseReady": ("True", "PodsReady", ""),
        "ObjectStoreReady": ("True", "PodsReady", ""),
        "TrackingReady": ("True", "ServerAnswers", ""),
        "Ready": ("True", "PartsReady", ""),
    }
    assert (status.tracking_uri, status.ui_url) == (OURS, OURS)
    assert [r.to_dict() for r in status.releases][2] == {
        "name": "a-mlflow",
        "chart": "mlflow",
        "version": "0.1.0",
        "appVersion": "1",
        "revision": 1,
        "state": "deployed",
    }
    assert kstatus(status) == "Current"


def test_the_address_waits_for_the_first_answer_the_interface_for_the_release() -> None:
    status = managed({Part.SERVER: view(stack(), Part.SERVER, release=None, workload=None)}, answer=None)
    assert (status.tracking_uri, status.ui_url) == (None, None)
    status = managed(answer="cannot connect")
    assert (status.tracking_uri, status.ui_url) == (None, OURS)
    assert managed(answer="cannot connect", before=managed().to_dict()).tracking_uri == OURS


def test_another_address_or_login_counts_once_it_works() -> None:
    before = managed().to_dict()
    spec = {"server": {"tlsSecretName": "tls", "auth": "Basic"}}
    of = stack(spec, before)
    secrets = own_secrets(of) | {"tls": secret("tls", "tls.crt", "tls.key", "ca.crt", authorities=PEM)}
    status = next_status(of, seen(of, answer="certificate?", secrets=secrets), OPTIONS, NOW)
    assert (status.tracking_uri, status.operator_secret_name, status.ca_bundle) == (OURS, None, None)
    status = next_status(of, seen(of, secrets=secrets), OPTIONS, NOW)
    assert status.tracking_uri == OURS.replace("http:", "https:")
    assert (status.operator_secret_name, status.client_secret_name) == ("a-mlflow-operator", "a-mlflow-client")
    assert status.ca_bundle == PEM


@pytest.mark.parametrize(("tls", "scheme"), [({}, "http"), ({"tlsSecretName": "t"}, "https")])
def test_the_interface_is_the_ingress(tls: Json, scheme: str) -> None:
    of = stack({"server": {"ingress": {"host": "MLflow.example.com", **tls}}})
    assert next_status(of, seen(of), OPTIONS, NOW).ui_url == f"{scheme}://mlflow.example.com"


def test_a_part_that_starts_is_in_progress() -> None:
    starting = view(stack(), Part.DATABASE, workload=workload("w", ready=0), pods=(pod(),))
    status = managed({Part.DATABASE: starting}, answer=None)
    assert conditions(status)["DatabaseReady"] == ("False", "Starting", "")
    assert conditions(status)["Ready"] == ("False", "Starting", "")
    assert kstatus(status) == "InProgress"


def test_a_problem_of_a_pod_reaches_the_summary() -> None:
    broken = view(stack(), Part.SERVER, workload=workload("w", ready=0), pods=(pod("p", container(exit_code=1)),))
    status = managed({Part.SERVER: broken}, answer=None)
    assert conditions(status)["TrackingReady"] == conditions(status)["Ready"]
    assert conditions(status)["Ready"][:2] == ("False", "CrashLoopBackOff")


def test_a_stack_that_needs_a_person_has_failed() -> None:
    said = container("refuse-major-upgrade", exit_code=1, exit_message="restore a backup")
    broken = view(stack(), Part.DATABASE, workload=workload("w", ready=0), pods=(pod("p", said),))
    status = managed({Part.DATABASE: broken})
    assert conditions(status)["Stalled"] == ("True", "MajorUpgradeRefused", "restore a backup")
    assert "Reconciling" not in conditions(status)
    assert kstatus(status) == "Failed"


def test_a_refused_release_leaves_what_works_ready() -> None:
    failure = Failure("helm upgrade: no", NOW + timedelta(seconds=10))
    old = view(stack(), Part.DATABASE, release=release(Part.DATABASE, current=False, state="failed"), failure=failure)
    status = managed({Part.DATABASE: old})
    assert conditions(status)["DatabaseReady"][0] == "True"
    assert conditions(status)["Stalled"] == ("True", "ReleaseFailed", "a-postgresql: helm upgrade: no")


def test_a_part_that_works_but_is_not_as_wanted_is_updating() -> None:
    old = view(stack(), Part.STORE, release=release(Part.STORE, current=False))
    status = managed({Part.STORE: old})
    assert conditions(status)["ObjectStoreReady"][0] == "True"
    assert conditions(status)["Ready"][:2] == ("False", "Updating")
    some = view(stack(), Part.SERVER, workload=workload("w", replicas=2, ready=1, updated=2))
    status = managed({Part.SERVER: some})
    assert conditions(status)["TrackingReady"][0] == "True"
    assert conditions(status)["Ready"] == ("False", "Updating", "MLflow: not all pods are ready yet")


def test_what_may_not_even_be_looked_at_leaves_the_rest_as_it_was() -> None:
    before = managed()
    refused = Observed(refused=Problem("RightsMissing", "add it", stalled=True))
    status = status_of({}, refused, before.to_dict())
    assert conditions(status)["Stalled"] == ("True", "RightsMissing", "add it")
    assert conditions(status)["DatabaseReady"] == conditions(before)["DatabaseReady"]
    assert status.releases == before.releases
    assert status.tracking_uri == OURS


def test_the_backup_is_told_beside() -> None:
    spec = {"backup": {"destination": {"bucket": "backups"}}}
    of = stack(spec)
    failed = next_status(of, seen(of, backup=BackupView(ago(60), failure="no bucket")), OPTIONS, NOW)
    assert conditions(failed)["BackupSucceeded"] == ("False", "BackupFailed", "no bucket")
    assert conditions(failed)["Ready"][0] == "True"
    assert failed.last_backup_time == ago(60)
    of = stack(spec, failed.to_dict())
    running = next_status(of, seen(of, backup=BackupView(ago(60), running=True)), OPTIONS, NOW)
    assert conditions(running)["BackupSucceeded"] == conditions(failed)["BackupSucceeded"]
    ended = managed(before=failed.to_dict())
    assert "BackupSucceeded" not in conditions(ended)
    assert ended.last_backup_time == ago(60)


def test_what_is_read_back_is_equal() -> None:
    of = stack({"backup": {"destination": {"bucket": "backups"}}})
    first = next_status(of, seen(of, backup=BackupView(ago(60))), OPTIONS, NOW)
    assert TrackingStackStatus.from_dict(first.to_dict()) == first
