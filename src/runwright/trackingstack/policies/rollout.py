"""A pod of an old revision that never gets ready must not keep its correction waiting."""

from runwright.ports import Key
from runwright.trackingstack.observed import PartView
from runwright.trackingstack.plan import DeletePod


def stuck(view: PartView, namespace: str) -> tuple[DeletePod, ...]:
    """The pods to delete.

    A StatefulSet with podManagementPolicy OrderedReady waits for them for ever (kubernetes/kubernetes#67250); with
    Parallel its controller deletes them itself, and this is the same once more.
    """
    workload, release = view.workload, view.release
    if workload is None or not workload.revision or not workload.settled or workload.deleting:
        return ()
    if release is None or not release.current:
        return ()
    return tuple(
        DeletePod(Key(namespace, pod.name), pod.uid)
        for pod in view.pods
        if pod.revision and pod.revision != workload.revision and not pod.ready and not pod.deleting
    )
