"""Pods that do not end: their node is lost, and only an administrator can tell whether it still runs them."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from runwright.trainingrun.observed import PodView, Problem


def overdue(pods: Iterable[PodView], timeout: int, now: datetime) -> tuple[tuple[PodView, ...], float | None]:
    """Find the pods that should have ended `timeout` seconds ago.

    Returns:
        The pods, and the seconds until the next one counts as such (None: no pod is ending).
    """
    limit = timedelta(seconds=timeout)
    ending = [(p, p.delete_by + limit - now) for p in pods if p.delete_by is not None and not p.over and p.node]
    lost = tuple(p for p, left in ending if left <= timedelta())
    later = [left.total_seconds() for _, left in ending if left > timedelta()]
    return lost, min(later, default=None)


def told(pod: PodView) -> Problem:
    """Say what is lost, and who can help: Kubernetes itself lets go of the pods of a node that is known to be gone."""
    return Problem(
        "NodeLost",
        f"node {pod.index} (pod {pod.name}) does not end: {pod.node} does not answer. When that machine is off, delete "
        f"its Node, or: kubectl taint node {pod.node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
    )
