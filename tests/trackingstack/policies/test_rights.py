from runwright.errors import RefusedError
from runwright.trackingstack.policies.rights import is_forbidden, is_terminating, problem

RIGHT = 'secrets "a" is forbidden: User "system:serviceaccount:a:b" cannot get resource "secrets" in API group ""'
QUOTA = 'secrets "a" is forbidden: exceeded quota: few, requested: count/secrets=1, used: 3, limited: 3'
GOING = 'secrets "a" is forbidden: unable to create new content in namespace a because it is being terminated'


def test_403_has_three_meanings() -> None:
    found = [
        (is_forbidden(RefusedError(text, status=403)), is_terminating(RefusedError(text, status=403)))
        for text in (RIGHT, QUOTA, GOING)
    ]
    assert found == [(True, False), (False, False), (False, True)]


def test_helm_says_it_in_the_servers_words() -> None:
    assert is_forbidden(RefusedError(f"helm upgrade: failed to create resource: {RIGHT}"))


def test_each_names_who_can_help() -> None:
    rights = problem(RIGHT, "team-a", forbidden=True)
    assert (rights.reason, rights.stalled) == ("RightsMissing", True)
    assert "add team-a to stackNamespaces in the values of the chart runwright" in rights.message
    assert problem(QUOTA, "team-a", forbidden=False).reason == "WaitingForQuota"
    assert problem("no", "team-a", forbidden=False, reason="ReleaseFailed").reason == "ReleaseFailed"
