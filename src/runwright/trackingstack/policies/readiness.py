"""Whether a part works, and if not, why: what its pods, its claim and its controller say."""

from typing import Final

from runwright.trackingstack.observed import ContainerView, PartView, PodView, Problem
from runwright.trackingstack.parts import Part

ORDINARY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Waiting reasons that pass by themselves and tell a user nothing."""
PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The kubelet alternates between the two, with another text each time; a status must not."""
CRASHES: Final = frozenset({"CrashLoopBackOff"})
REFUSE_MAJOR_UPGRADE: Final = "refuse-major-upgrade"
"""Init container of the chart postgresql that compares the data's major version with the image's."""
SAID: Final = 600
"""Characters of a container's last words: their end tells most."""
STARTING: Final = Problem("Starting")
FIELDS: Final = {Part.DATABASE: "spec.postgresql", Part.STORE: "spec.objectStore", Part.SERVER: "spec.server"}


def why_not(part: Part, view: PartView) -> Problem:
    """Name the first obstacle of a part whose pods are not ready."""
    workload = view.workload
    if workload is None:
        return STARTING
    if workload.failure:
        return Problem("WaitingForQuota" if "exceeded quota" in workload.failure else "PodsRefused", workload.failure)
    waiting = [pod for pod in view.pods if not pod.ready and not pod.deleting]
    for pod in waiting:
        if (found := _of_pod(part, view, pod)) is not None:
            return found
    if workload.settled and not view.pods:
        kind = part.workload.kind.lower()
        return Problem("Starting", f"no pod yet; `kubectl describe {kind} {workload.name}` tells if one is refused")
    return STARTING


def _of_pod(part: Part, view: PartView, pod: PodView) -> Problem | None:
    if pod.unschedulable:
        if view.claim is not None and not view.claim.bound:
            where = f"storage class {view.claim.storage_class}" if view.claim.storage_class else "the storage class"
            text = f"volume claim {view.claim.name} waits for a volume of {where}: {pod.unschedulable}"
            return Problem("VolumePending", text)
        return Problem("Unschedulable", pod.unschedulable)
    for container in pod.containers:
        if (found := _of_container(part, pod, container)) is not None:
            return found
    return None


def _of_container(part: Part, pod: PodView, container: ContainerView) -> Problem | None:
    reason = container.waiting_reason
    if reason in PULL:
        text = f"an image of pod {pod.name} cannot be pulled; check {FIELDS[part]}.image and version"
        return Problem("ImagePullBackOff", text)
    if reason not in ORDINARY | CRASHES:
        return Problem(reason, f"pod {pod.name}: {container.waiting_message or reason}")
    if not container.exit_code:
        return None
    said = container.exit_message[-SAID:]
    if container.name == REFUSE_MAJOR_UPGRADE:
        return Problem("MajorUpgradeRefused", said, stalled=True)
    if container.exit_reason == "OOMKilled":
        text = f"container {container.name} needs more memory; raise {FIELDS[part]}.resources.limits.memory"
        return Problem("OOMKilled", text)
    text = f"container {container.name} ended with exit code {container.exit_code}"
    return Problem("CrashLoopBackOff", f"{text}: {said}" if said else text)
