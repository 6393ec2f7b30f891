from typing import Any

import pytest

from runwright.trainingrun.observed import Problem
from runwright.trainingrun.policies.queue import WAITING, message_of, preempted, problem
from tests.trainingrun.samples import NOW, job, pod, running_pod


def test_the_queues_words_are_told() -> None:
    assert problem("no quota for 4 GPUs") == Problem("Queued", "no quota for 4 GPUs")
    assert problem("") == Problem("Queued", WAITING)


def test_a_preemption_is_a_disruption_and_names_a_node() -> None:
    over = preempted(job(), (pod(0), running_pod(1, node="n2")), "for a run of higher priority", NOW)
    assert (over.outcome, over.reason, over.at) == ("Disruption", "Preempted", NOW)
    assert over.message == "the queue has taken the nodes of Job mnist-0a1b2c3d-1 away: for a run of higher priority"
    assert over.pod is not None
    assert over.pod.node == "n2"


def condition(kind: str, status: str, message: str, minute: int = 0) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "message": message,
        "reason": "Any",
        "lastTransitionTime": f"2026-01-01T12:{minute:02}:00Z",
    }


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ""),
        ([condition("QuotaReserved", "False", "no quota")], "no quota"),
        ([condition("QuotaReserved", "True", "has quota"), condition("Admitted", "True", "go")], ""),
        ([condition("Evicted", "True", "preempted"), condition("QuotaReserved", "False", "no quota")], "no quota"),
        (
            [condition("Evicted", "True", "preempted", 5), condition("QuotaReserved", "False", "no quota", 1)],
            "preempted",
        ),
        ([condition("Evicted", "False", "readmitted"), condition("QuotaReserved", "False", "")], ""),
    ],
)
def test_a_workload_says_why_it_waits(conditions: list[dict[str, Any]], expected: str) -> None:
    assert message_of({"status": {"conditions": conditions}}) == expected


def test_a_new_workload_says_nothing() -> None:
    assert message_of({"metadata": {"name": "w"}}) == ""
