"""What a phase means to ``kubectl wait`` and kstatus."""

from runwright.apis.v1alpha1 import Phase
from runwright.conditions import Says


def kstatus(phase: Phase, reason: str, message: str) -> dict[str, Says | None]:
    """Ready, Reconciling and Stalled as kstatus reads them.

    A running training is Current, a failed one Failed, anything on its way InProgress (cli-utils, pkg/kstatus).
    """
    if phase is Phase.RUNNING:
        return {"Ready": Says("True", "Running"), "Reconciling": None, "Stalled": None}
    if phase is Phase.SUCCEEDED:
        return {"Ready": Says("True", "Succeeded"), "Reconciling": None, "Stalled": None}
    if phase is Phase.SUSPENDED:
        return {"Ready": Says("True", "Suspended"), "Reconciling": None, "Stalled": None}
    if phase.terminal:
        return {
            "Ready": Says("False", reason, message),
            "Reconciling": None,
            "Stalled": Says("True", reason, message),
        }
    return {
        "Ready": Says("False", phase.value, message),
        "Reconciling": Says("True", phase.value),
        "Stalled": None,
    }
