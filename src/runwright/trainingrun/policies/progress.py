"""How far a run is, from what it logs: a metric ``progress`` (0 to 1), or ``epoch`` with a parameter ``epochs``."""

import math
from collections.abc import Mapping
from typing import Final

from runwright.apis.v1alpha1.common import SAFE_MAX
from runwright.apis.v1alpha1.trainingrun_status import ProgressStatus
from runwright.ports import Metric

TELLING: Final = ("progress", "epoch")
"""Metrics that tell how far a run is."""
TOTALS: Final = ("epochs", "max_epochs", "num_train_epochs", "num_epochs")
"""Parameter names that hold the number of epochs (plain scripts, Lightning, transformers)."""

LONGEST: Final = 10 * 365 * 86400.0
"""Seconds; a remaining time beyond ten years says nothing."""


def progress(metrics: Mapping[str, Metric], parameters: Mapping[str, str], ran_seconds: float) -> ProgressStatus | None:
    """Compute percentage and remaining time; None when the run logs nothing that tells.

    ``epoch`` counts finished epochs: logging 1 after the first of five means 20 percent.
    """
    step = total = None
    if (told := metrics.get("progress")) is not None and 0 <= told.value <= 1:
        done = told.value
    elif (epoch := metrics.get("epoch")) is not None and (total := _total(parameters)):
        step = int(max(0.0, min(epoch.value, total)))
        done = step / total
    else:
        return None
    remaining = ran_seconds * (1 - done) / done if done > 0 and ran_seconds > 0 else math.inf
    seconds = round(remaining) if remaining < LONGEST else None
    return ProgressStatus(
        percentage=int(done * 100 + 1e-9), step=step, total_steps=total, estimated_remaining_seconds=seconds
    )


def _total(parameters: Mapping[str, str]) -> int | None:
    for name in TOTALS:
        text = parameters.get(name, "")
        if text.isdecimal() and 0 < int(text) <= SAFE_MAX:
            return int(text)
    return None
