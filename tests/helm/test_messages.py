"""helm's words, as it said them on a real API server, and what becomes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import ClusterUnavailableError, RefusedError
from runwright.helm.messages import MAX_MESSAGE, error_of, one_line

INVALID = """\
level=WARN msg="upgrade failed" name=s-postgresql error="server-side apply failed for object a/s-postgresql"
Error: UPGRADE FAILED: server-side apply failed for object a/s-postgresql apps/v1, Kind=StatefulSet: StatefulSet.apps \
"s-postgresql" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: "2Gi": must be less \
than or equal to memory limit of 1Gi
"""
SCHEMA = """\
Error: values don't meet the specifications of the schema(s) in the following chart(s):
postgresql:
- at '/maxConnections': got string, want integer
- at '/replicas': got string, want integer

"""
FORBIDDEN = """\
Error: configmaps is forbidden: User "system:serviceaccount:a:operator" cannot create resource "configmaps" in API \
group "" in the namespace "a"
"""


def test_log_lines_go_and_lines_are_joined() -> None:
    assert one_line(INVALID).startswith("UPGRADE FAILED: server-side apply failed")
    assert one_line(SCHEMA) == (
        "values don't meet the specifications of the schema(s) in the following chart(s): postgresql: - at "
        "'/maxConnections': got string, want integer - at '/replicas': got string, want integer"
    )


@pytest.mark.parametrize("stderr", [INVALID, SCHEMA, FORBIDDEN])
def test_a_refusal_is_final(stderr: str) -> None:
    error = error_of("upgrade", 1, stderr)
    assert isinstance(error, RefusedError)
    assert str(error).startswith("helm upgrade: ")


@pytest.mark.parametrize(
    "said",
    [
        'kubernetes cluster unreachable: Get "https://10.96.0.1:443/version": dial tcp: connect: connection refused',
        'query: failed to query with labels: Get "https://10.96.0.1:443/api/v1": net/http: TLS handshake timeout',
        'Get "https://10.96.0.1:443/api": dial tcp 10.96.0.1:443: i/o timeout',
        'Patch "https://10.96.0.1:443/apis": EOF',
        'Patch "https://10.96.0.1:443/apis": http2: client connection lost',
        "the server has received too many requests and has asked us to try again later",
        "the server is currently unable to handle the request (get services s-mlflow)",
        "Internal error occurred: etcdserver: leader changed",
        "etcdserver: request timed out",
        "Timeout: request did not complete within requested timeout - context deadline exceeded",
        "storage is (re)initializing",
        "apiserver is shutting down",
        "UPGRADE FAILED: context canceled",
        "UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
        "release: already exists",
        'Operation cannot be fulfilled on statefulsets.apps "a": the object has been modified',
        "query: failed to query with labels: Unauthorized",
        "lookup kubernetes.default.svc: no such host",
    ],
)
def test_what_may_pass_is_worth_another_try(said: str) -> None:
    error = error_of("upgrade", 1, f"Error: {said}\n")
    assert isinstance(error, ClusterUnavailableError)
    assert said in str(error)


@pytest.mark.parametrize("said", ['configmaps "a" already exists', "cannot re-use a name that is still in use"])
def test_names_that_are_taken_stay_taken(said: str) -> None:
    assert isinstance(error_of("upgrade", 1, f"Error: {said}\n"), RefusedError)


def test_a_killed_helm_says_by_what() -> None:
    error = error_of("upgrade", -9, "")
    assert isinstance(error, ClusterUnavailableError)
    assert str(error) == "helm upgrade was killed by signal 9"


def test_without_a_word_the_exit_status_is_told() -> None:
    assert str(error_of("upgrade", 3, "")) == "helm upgrade: exit status 3"


@given(st.text(), st.integers(-31, 255).filter(bool))
def test_any_words_become_one_short_line(said: str, status: int) -> None:
    told = str(error_of("upgrade", status, said))
    assert len(told.splitlines()) <= 1
    assert len(told) <= MAX_MESSAGE + 60
