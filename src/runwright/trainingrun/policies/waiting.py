"""Waiting says why: what keeps the pods of an attempt from running."""

from typing import Final

from runwright.trainingrun.observed import PodView, Problem

ORDINARY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Waiting reasons that pass by themselves and tell a user nothing."""
IMAGE_REASONS: Final = {"ErrImagePull": "ImagePullBackOff"}
"""kubelet alternates between the two; one word keeps the status from flapping."""
INITIALIZING: Final = Problem("Initializing", "the pods are being created")


def why_waiting(pods: tuple[PodView, ...]) -> Problem:
    """Name the first obstacle among the attempt's pods that do not run yet, by node."""
    for pod in pods:
        if pod.unschedulable:
            return Problem("Unschedulable", f"node {pod.index}: {pod.unschedulable}")
        if pod.waiting_reason not in ORDINARY:
            reason = IMAGE_REASONS.get(pod.waiting_reason, pod.waiting_reason)
            return Problem(reason, f"node {pod.index}: {_detail(pod, reason)}")
    return INITIALIZING


def _detail(pod: PodView, reason: str) -> str:
    if reason == "ImagePullBackOff":
        # kubelet's text changes with every retry; a status must not.
        return "the image cannot be pulled; check spec.image and spec.imagePullSecrets"
    if reason == "InvalidImageName":
        return "spec.image is no valid image name"
    return pod.waiting_message or reason
