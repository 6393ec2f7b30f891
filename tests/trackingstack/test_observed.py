from typing import Any

from runwright.trackingstack.observed import ClaimView, PodView, SecretView, WorkloadView
from tests.trackingstack.samples import secret_object

META = {"name": "x", "namespace": "team-a", "uid": "u", "resourceVersion": "4", "generation": 2}


def test_of_a_secret_only_the_authorities_are_read() -> None:
    made = secret_object("x", {"password": "hidden", "ca.crt": "PEM", "empty": ""})
    view = SecretView.of({**made, "metadata": META})
    assert view.keys == {"password", "ca.crt"}
    assert view.authorities == "PEM"
    assert "hidden" not in repr(view)
    assert SecretView.of({"metadata": META, "data": {"ca.crt": "no base64!"}}).authorities == ""
    assert SecretView.of({"metadata": META}).keys == frozenset()


def test_a_renewed_certificate_has_another_fingerprint() -> None:
    def fingerprint(**data: str) -> str:
        return SecretView.of({**secret_object("x", data), "metadata": META}).certificates

    first = fingerprint(**{"tls.crt": "one", "tls.key": "k"})
    assert first == fingerprint(**{"tls.crt": "one", "tls.key": "other", "password": "p"})
    assert first != fingerprint(**{"tls.crt": "two"})
    assert first != fingerprint(**{"tls.crt": "one", "ca.crt": "authority"})
    assert fingerprint(password="p") == ""


def workload(status: dict[str, Any], **spec: Any) -> WorkloadView:
    return WorkloadView.of({"metadata": META, "spec": {"replicas": 2, **spec}, "status": status})


def test_a_workload_is_complete_when_its_controller_has_seen_all_and_all_pods_are_there() -> None:
    done = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}
    assert workload(done).complete
    for change in ({"observedGeneration": 1}, {"updatedReplicas": 1}, {"availableReplicas": 1}):
        assert not workload(done | change).complete
    assert not workload({}).complete


def test_a_workload_tells_its_template_and_its_failure() -> None:
    templates = [{"spec": {"resources": {"requests": {"storage": "1Gi"}}}}]
    assert workload({}, volumeClaimTemplates=templates).storage == "1Gi"
    assert workload({}).storage == ""
    failed = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    assert workload({"conditions": [failed]}).failure == "exceeded quota"
    assert workload({"conditions": [{**failed, "status": "False"}]}).failure == ""


def test_a_pod_is_read_with_its_init_containers_and_last_ends() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "why\n"}}
    status = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}],
        "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "W"}}, "lastState": ended}],
        "containerStatuses": [{"name": "c", "state": ended}],
    }
    view = PodView.of({"metadata": {**META, "labels": {"controller-revision-hash": "r"}}, "status": status})
    assert (view.unschedulable, view.revision, view.ready) == ("no room", "r", False)
    assert [(c.name, c.waiting_reason, c.exit_code, c.exit_message) for c in view.containers] == [
        ("i", "W", 1, "why"),
        ("c", "", 1, "why"),
    ]
    assert PodView.of({"metadata": META}).phase == "Pending"


def test_a_claim_is_read() -> None:
    spec = {"storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}
    view = ClaimView.of({"metadata": META, "spec": spec, "status": {"phase": "Bound"}})
    assert (view.size, view.storage_class, view.bound, view.deleting) == ("1Gi", "s", True, False)
