"""``earlyStopping``: whether a run has learned what it can, from all points of one metric."""

import math
from collections.abc import Sequence

from runwright.apis.v1alpha1.trainingrun_rules import EarlyStopping
from runwright.ports import Metric


def verdict(wanted: EarlyStopping, metric: str, direction: str, points: Sequence[Metric]) -> str:
    """Say why the run should stop; ``""`` when it should go on.

    Steps that were logged twice (an attempt repeats what came after the last checkpoint) count once, with the later
    value. A NaN is a value without an improvement.

    Args:
        wanted: The rule.
        metric: Name of the metric, for the message.
        direction: Maximize or Minimize.
        points: All of its points.
    """
    sign = 1.0 if direction == "Maximize" else -1.0
    curve = {p.step: p.value for p in sorted(points, key=lambda p: (p.timestamp, p.step))}
    steps = sorted(curve)
    if not steps or steps[-1] < wanted.min_steps:
        return ""
    latest = curve[steps[-1]]
    if wanted.threshold is not None and sign * latest >= sign * float(wanted.threshold):
        return f"{metric} is {latest:.10g} at step {steps[-1]}: the threshold {wanted.threshold} is reached"
    if wanted.patience is None:
        return ""
    delta = float(wanted.min_delta or 0)
    best, at = -math.inf, 0
    for place, step in enumerate(steps):
        value = sign * curve[step]
        if value > best + delta or (math.isinf(best) and value > best):
            best, at = value, place
    waited = len(steps) - 1 - at
    if waited < wanted.patience:
        return ""
    known = f"better than {sign * best:.10g} (step {steps[at]})" if math.isfinite(best) else "a number"
    return f"{metric} has not become {known} in {waited} steps"
