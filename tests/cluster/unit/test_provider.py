"""Which provider is taken, and what is said when none can work."""

from dataclasses import replace

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.provider import Machine, choose, inspect_machine

EVERYTHING = Machine(system="Linux", root=True, go=True, docker=True, kind=True)
NOTHING = Machine(system="Darwin", root=False, go=False, docker=False, kind=False)
KUBECONFIG = {"KUBECONFIG": "/some/file"}


@pytest.mark.parametrize(
    ("environment", "machine", "expected"),
    [
        (KUBECONFIG, EVERYTHING, "kubeconfig"),
        ({}, EVERYTHING, "kind"),
        ({"KUBECONFIG": ""}, EVERYTHING, "kind"),
        ({}, replace(EVERYTHING, kind=False), "kind"),
        ({}, replace(EVERYTHING, kind=False, go=False), None),
        ({}, replace(EVERYTHING, docker=False), "bare"),
        ({}, replace(EVERYTHING, docker=False, root=False), None),
        ({"RUNWRIGHT_CLUSTER": "bare"}, EVERYTHING, "bare"),
        ({"RUNWRIGHT_CLUSTER": "bare", **KUBECONFIG}, EVERYTHING, "bare"),
        ({"RUNWRIGHT_CLUSTER": "kind"}, EVERYTHING, "kind"),
        ({"RUNWRIGHT_CLUSTER": ""}, EVERYTHING, "kind"),
        ({"RUNWRIGHT_CLUSTER": "kubeconfig"}, EVERYTHING, None),
        ({}, NOTHING, None),
    ],
)
def test_choice(environment: dict[str, str], machine: Machine, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ClusterError, match="no cluster can be had here"):
            choose(environment, machine)
    else:
        assert choose(environment, machine) == expected


def test_says_what_every_provider_misses_and_what_would_help() -> None:
    with pytest.raises(ClusterError) as caught:
        choose({}, NOTHING)
    said = str(caught.value)
    for expected in (
        "KUBECONFIG is not set",
        "Docker can't be reached",
        "it needs Linux, this is Darwin",
        "it needs root",
        "there is no `go` on PATH",
        "What would help:",
        "start Docker",
        "run as root on Linux with Go 1.26",
    ):
        assert expected in said


def test_asked_for_one_says_only_what_that_one_misses() -> None:
    with pytest.raises(ClusterError) as caught:
        choose({"RUNWRIGHT_CLUSTER": "bare"}, replace(EVERYTHING, root=False))
    assert "needs root" in str(caught.value)
    assert "kind:" not in str(caught.value)


def test_unknown_name() -> None:
    with pytest.raises(ClusterError, match="RUNWRIGHT_CLUSTER=minikube is none of auto, kubeconfig, kind, bare"):
        choose({"RUNWRIGHT_CLUSTER": "minikube"}, EVERYTHING)


def test_docker_client_without_server_is_no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert inspect_machine().docker is False


def test_no_tools_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    machine = inspect_machine()
    assert (machine.go, machine.docker, machine.kind) == (False, False, False)
