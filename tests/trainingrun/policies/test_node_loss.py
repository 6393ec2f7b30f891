from runwright.trainingrun.policies.node_loss import overdue, told
from tests.trainingrun.samples import NOW, ago, failed_pod, running_pod


def test_pods_that_nobody_deleted_are_not_lost() -> None:
    assert overdue((running_pod(),), 0, NOW) == ((), None)


def test_a_pod_that_still_has_time_is_looked_at_again() -> None:
    assert overdue((running_pod(delete_by=ago(20)), running_pod(1, delete_by=ago(-10))), 120, NOW) == ((), 100)


def test_a_pod_whose_time_is_over_is_lost() -> None:
    lost, later = running_pod(delete_by=ago(120)), running_pod(1, delete_by=ago(20))
    assert overdue((later, lost), 120, NOW) == ((lost,), 100)


def test_one_that_has_ended_or_never_had_a_node_is_not() -> None:
    assert overdue((failed_pod(delete_by=ago(500)), running_pod(1, node="", delete_by=ago(500))), 0, NOW) == ((), None)


def test_who_can_help_is_told() -> None:
    problem = told(running_pod(1, node="gpu-7"))
    assert problem.reason == "NodeLost"
    assert "gpu-7 does not answer" in problem.message
    assert "kubectl taint node gpu-7 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in problem.message
