"""A Job's podFailurePolicy: one failed pod ends the attempt, and the cause stays in the Job's condition; pure.

`failures.py` reads it back.
"""

from typing import Any

from runwright.apis.v1alpha1 import TrainingRunSpec
from runwright.trainingrun.failures import TERMINATED


def failure_policy(spec: TrainingRunSpec) -> dict[str, Any]:
    """Build the rules, in the order in which they are tried.

    The exit code of SIGTERM is only counted, which ends the attempt as well (``backoffLimit: 0``), but not that of a
    suspended Job: a queue takes nodes away by suspending it, its pods end so, and with a FailJob rule the Job would
    fail as soon as the queue gives it other nodes (docs/adr/0009-ends-of-pods.md).
    """
    rules: list[dict[str, Any]] = [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    if codes := sorted(set(spec.retry.non_retryable_exit_codes)):
        rules.append({"action": "FailJob", "onExitCodes": {"operator": "In", "values": codes}})
    rules += [
        {"action": "Count", "onExitCodes": {"operator": "In", "values": [TERMINATED]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0, TERMINATED]}},
    ]
    return {"rules": rules}
