"""How an attempt ended, read from its Job and pods: what the code did, or what happened to it."""

import re
from datetime import datetime
from typing import Final

from runwright.inpod.fetch.problems import Reason
from runwright.inpod.told import Told
from runwright.names import FETCH_CONTAINER
from runwright.trainingrun.fetched import Fetched
from runwright.trainingrun.observed import JobView, PodView
from runwright.trainingrun.plan import Ended

DISRUPTION_RULE: Final = "rule at index 0"
"""How the Job controller names the first podFailurePolicy rule in its condition (see `manifests.job`)."""
TERMINATED: Final = 143
"""128 + SIGTERM: the launcher's exit code whenever it got one, unless the script wrote the done file. Where we stop a
run its status says so first, so that what is judged here was somebody else."""
EXIT_CODE: Final = re.compile(r"failed with exit code (\d+)")
POD_NAME: Final = re.compile(r"[Pp]od (?:[a-z0-9-]+/)([a-z0-9.-]+)")
CONTAINER: Final = re.compile(r"Container (\S+) for pod")
REASON_OF_EXIT: Final = {"Error": "AppFailed", "": "AppFailed", "ContainerCannotRun": "StartError"}
"""Plain words for container exit reasons; the others (OOMKilled, StartError) are kept."""
FETCH_REASONS: Final = {reason.exit_code: reason for reason in Reason}


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
    lost = _lost(pods, pod)
    if DISRUPTION_RULE in job.message or lost is not None:
        pod = lost or pod
        reason = (pod.reason if pod else "") or "Disrupted"
        said = (pod.disrupted or pod.message) if pod else ""
        return Ended("Disruption", reason, said or job.message, at, pod, pod.exit_code if pod else None)
    if job.reason == "DeadlineExceeded":
        return Ended("Failure", "DeadlineExceeded", job.message, at, pod)
    container, code = CONTAINER.search(job.message), EXIT_CODE.search(job.message)
    exit_code = int(code.group(1)) if code else None
    if pod is not None and (pod.exit_code is not None or pod.setup.exit_code):
        exit_code = pod.setup.exit_code or pod.exit_code
    if job.reason == "BackoffLimitExceeded":
        # Any exit code but 143 meets a rule of the podFailurePolicy, which leaves another reason: what ended the
        # attempt is a pod without one, and the exit codes of the others are those of pods ended because of it.
        gone = next((p for p in pods if p.phase == "Failed" and p.exit_code is None and not p.setup.exit_code), None)
        if gone is not None or exit_code != TERMINATED:
            reason, said = (gone.reason, gone.message) if gone else ("", "")
            told = said or "a pod was deleted before it could tell how it ended"
            return Ended("Disruption", reason or "PodLost", told, at, gone)
    if exit_code == TERMINATED:
        where = _where(pod) if pod else "a pod"
        return Ended("Disruption", "Terminated", f"{where} was ended from outside (SIGTERM)", at, pod, exit_code)
    if (pod is not None and pod.setup.exit_code) or (container and container.group(1) == FETCH_CONTAINER):
        return _fetch(exit_code or 0, pod, job, at)
    return _failure(exit_code, pod, job, at)


def _lost(pods: tuple[PodView, ...], first: PodView | None) -> PodView | None:
    """Return the pod that its node or the scheduler ended, if that came before the first failure.

    The others of a gang fail because of it, often sooner than it has ended itself.
    """
    if first is None or first.lost_to_node:
        return first
    marked = [(p.disrupted_at, p.index, p) for p in pods if p.disrupted_at is not None]
    if not marked or first.finished is None:
        return None
    since, _, lost = min(marked, key=lambda m: m[:2])
    return lost if since <= first.finished else None


def _failure(exit_code: int | None, pod: PodView | None, job: JobView, at: datetime) -> Ended:
    """Describe what the code did."""
    if pod is None:
        return Ended("Failure", "AppFailed", job.message, at, None, exit_code)
    told = Told.of(pod.exit_message)
    reason = REASON_OF_EXIT.get(pod.exit_reason, pod.exit_reason)
    if told is not None and told.out_of_memory:
        reason = "OOMKilled"  # of a process of the script: the container itself lives on
    elif told is not None and told.exit_code is None:
        reason = "StartError"
    message = _message(reason, exit_code, pod, told)
    return Ended("Failure", reason, message, at, pod, exit_code, tail=told.tail if told else "")


def _fetch(exit_code: int, pod: PodView | None, job: JobView, at: datetime) -> Ended:
    """Describe why code or data could not be fetched: the init container has an exit code for each reason."""
    known = FETCH_REASONS.get(exit_code, Reason.INTERNAL)
    told = Fetched.of(pod.setup.message) if pod is not None else Fetched()
    message = told.message or f"code or data could not be fetched: {job.message}"
    if pod is not None and pod.setup.reason == "OOMKilled":
        return Ended("Failure", "OOMKilled", "fetching code or data took too much memory", at, pod, exit_code)
    return Ended("Failure", told.reason or known.label, message, at, pod, exit_code, final=not known.retryable)


def _where(pod: PodView) -> str:
    return f"node {pod.index} (pod {pod.name}{f' on {pod.node}' if pod.node else ''})"


def _message(reason: str, exit_code: int | None, pod: PodView, told: Told | None) -> str:
    where = _where(pod)
    if reason == "OOMKilled":
        return f"{where} used more memory than its limit; raise resourcesPerNode.memory or lower the batch size"
    said = told.message if told is not None else pod.exit_message
    if reason == "StartError":
        return f"{where} could not start its command: {said or 'see the pod'}; check command and image"
    return f"{where} exited with code {exit_code}" + (f": {told.message}" if told is not None and told.message else "")
