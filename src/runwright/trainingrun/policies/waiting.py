"""Waiting says why: what keeps the pods of an attempt from running."""

from typing import Final

from runwright.ports import TrackingServer
from runwright.trainingrun.observed import PodView, Problem

ORDINARY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Waiting reasons that pass by themselves and tell a user nothing."""
IMAGE_REASONS: Final = {"ErrImagePull": "ImagePullBackOff"}
"""kubelet alternates between the two; one word keeps the status from flapping."""
INITIALIZING: Final = Problem("Initializing", "the pods are being created")


def why_waiting(pods: tuple[PodView, ...], namespace: str, server: TrackingServer | None) -> Problem:
    """Name the first obstacle among the attempt's pods that do not run yet, by node.

    Args:
        pods: Of the attempt, by node.
        namespace: Of the run.
        server: Where it is tracked.
    """
    for pod in pods:
        if pod.unschedulable:
            return Problem("Unschedulable", f"node {pod.index}: {pod.unschedulable}")
        if server is not None and (problem := _login(pod, namespace, server)) is not None:
            return problem
        if pod.waiting_reason not in ORDINARY:
            reason = IMAGE_REASONS.get(pod.waiting_reason, pod.waiting_reason)
            return Problem(reason, f"node {pod.index}: {_detail(pod, reason)}")
    return INITIALIZING


def _login(pod: PodView, namespace: str, server: TrackingServer) -> Problem | None:
    """Tell that the pods' login to the tracking server is missing, in kubelet's two ways to say so."""
    secret, told = server.client_secret, pod.waiting_message
    if not secret or pod.waiting_reason != "CreateContainerConfigError":
        return None
    login = f"Secret {secret}, with which the pods log in to MLflow,"
    if f'secret "{secret}" not found' in told:
        remedy = "create it with the keys username and password"
        if server.shared and server.operator_secret is not None:  # which is in the stack's namespace
            remedy = f"copy it from namespace {server.operator_secret.namespace}"
        return Problem("LoginNotFound", f"{login} is missing in namespace {namespace}; {remedy}")
    if "couldn't find key" in told and told.rstrip().endswith(f"Secret {namespace}/{secret}"):
        return Problem("LoginNotFound", f"{login} lacks the key username or password; add it")
    return None


def _detail(pod: PodView, reason: str) -> str:
    if reason == "ImagePullBackOff":
        # kubelet's text changes with every retry; a status must not.
        return "the image cannot be pulled; check spec.image and spec.imagePullSecrets"
    if reason == "InvalidImageName":
        return "spec.image is no valid image name"
    return pod.waiting_message or reason
