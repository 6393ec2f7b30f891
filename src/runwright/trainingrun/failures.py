"""How an attempt ended, read from its Job and pods: what the code did, or what happened to it."""

import re
from typing import Final

from runwright.trainingrun.observed import JobView, PodView
from runwright.trainingrun.plan import Ended

DISRUPTION_RULE: Final = "rule at index 0"
"""How the Job controller names the first podFailurePolicy rule in its condition (see `manifests.job`)."""
EXIT_CODE: Final = re.compile(r"failed with exit code (\d+)")
POD_NAME: Final = re.compile(r"[Pp]od (?:[a-z0-9-]+/)([a-z0-9.-]+)")
REASON_OF_EXIT: Final = {"Error": "AppFailed", "": "AppFailed", "ContainerCannotRun": "StartError"}
"""Plain words for container exit reasons; the others (OOMKilled, StartError) are kept."""


def first_failed(pods: tuple[PodView, ...], named: str = "") -> PodView | None:
    """Return the pod whose failure came first.

    The pods ended because of it finish later; the one that the Job's condition names wins.
    """
    failed = [p for p in pods if p.phase == "Failed" or p.exit_code not in (None, 0) or p.disrupted]
    failed.sort(key=lambda p: (p.name != named, p.finished is None, p.finished or p.uid, p.index))
    return failed[0] if failed else None


def ended(job: JobView, pods: tuple[PodView, ...]) -> Ended | None:
    """Judge a Job; None while it is not finished.

    Args:
        job: The attempt's Job.
        pods: Its pods, as far as they still exist; the Job's condition alone must do when they are gone.
    """
    if job.result is None:
        return None
    at = job.ended or job.created
    if job.result == "Complete":
        return Ended("Succeeded", "Succeeded", "all nodes exited with 0", at)
    name = POD_NAME.search(job.message)
    pod = first_failed(pods, name.group(1) if name else "")
    if DISRUPTION_RULE in job.message or (pod is not None and pod.lost_to_node):
        reason = (pod.reason if pod else "") or "Disrupted"
        said = (pod.disrupted or pod.message) if pod else ""
        return Ended("Disruption", reason, said or job.message, at, pod, pod.exit_code if pod else None)
    if job.reason == "DeadlineExceeded":
        return Ended("Failure", "DeadlineExceeded", job.message, at, pod)
    if job.reason == "BackoffLimitExceeded":
        # Any exit code but 0 meets a rule of the podFailurePolicy, which leaves another reason: what ended the attempt
        # is a pod without one, and the exit codes of the others are those of pods ended because of it.
        lost = next((p for p in pods if p.phase == "Failed" and p.exit_code is None), None)
        reason, said = (lost.reason, lost.message) if lost else ("", "")
        told = said or "a pod was deleted before it could tell how it ended"
        return Ended("Disruption", reason or "PodLost", told, at, lost)
    named = EXIT_CODE.search(job.message)
    exit_code = pod.exit_code if pod and pod.exit_code is not None else int(named.group(1)) if named else None
    reason = REASON_OF_EXIT.get(pod.exit_reason, pod.exit_reason) if pod else "AppFailed"
    return Ended("Failure", reason, _message(reason, exit_code, pod) or job.message, at, pod, exit_code)


def _message(reason: str, exit_code: int | None, pod: PodView | None) -> str:
    if pod is None:
        return ""
    where = f"node {pod.index} (pod {pod.name}{f' on {pod.node}' if pod.node else ''})"
    if reason == "OOMKilled":
        return f"{where} used more memory than its limit; raise resourcesPerNode.memory or lower the batch size"
    if reason == "StartError":
        return f"{where} could not start its command: {pod.exit_message or 'see the pod'}; check command and image"
    return f"{where} exited with code {exit_code}"
