"""A volume grows by a patch of its claim; the StatefulSet's template, which is immutable, is made anew around it."""

from runwright.ports import Key
from runwright.trackingstack.observed import ClaimView, PartView, Problem, WorkloadView
from runwright.trackingstack.parts import Part
from runwright.trackingstack.plan import GrowClaim, OrphanWorkload
from runwright.trackingstack.quantity import quantity


def template_size(asked: str, workload: WorkloadView | None, claim: ClaimView | None) -> str:
    """Size for the claim template: never another one than it has, until the claim itself has grown.

    A smaller one is ignored: volumes do not shrink.
    """
    if workload is None or workload.deleting or not workload.storage:
        return asked
    if quantity(asked) <= quantity(workload.storage):
        return workload.storage
    if claim is not None and quantity(claim.size) >= quantity(asked):
        return asked
    return workload.storage


def growth(part: Part, view: PartView, namespace: str) -> GrowClaim | OrphanWorkload | None:
    """The next step towards the asked size; None when there is none to be taken now.

    A claim that is not bound cannot be changed. It follows a StatefulSet that is deleted without its pod: the release
    then makes another one, which adopts claim and pod, and the database does not stop.
    """
    claim, workload = view.claim, view.workload
    if claim is None or claim.deleting or not view.asked_size:
        return None
    if quantity(claim.size) < quantity(view.asked_size):
        key = Key(namespace, claim.name)
        return GrowClaim(part, key, claim.uid, view.asked_size) if claim.bound else None
    if workload is None or workload.deleting or not workload.storage:
        return None
    if quantity(workload.storage) < quantity(view.asked_size):
        return OrphanWorkload(Key(namespace, workload.name), workload.uid)
    return None


def refused_growth(view: PartView) -> Problem | None:
    """What a refusal to grow means."""
    if view.growth_failure is None or view.claim is None:
        return None
    where = f"storage class {view.claim.storage_class}" if view.claim.storage_class else "its storage class"
    return Problem(
        "VolumeCannotGrow",
        f"volume claim {view.claim.name} stays at {view.claim.size}: set allowVolumeExpansion in {where} if its "
        f"provisioner can, or set storage back, or restore a backup into a new TrackingStack "
        f"({view.growth_failure.message})",
        stalled=True,
    )
