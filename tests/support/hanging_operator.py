"""``python -m tests.support.hanging_operator``: the operator with a reconcile that never ends, as of a bug."""

import asyncio
import sys

from runwright.operator import app
from runwright.ports import Key
from runwright.trainingrun.reconcile import TrainingRunReconciler


async def _hang(_: TrainingRunReconciler, _key: Key) -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    TrainingRunReconciler.reconcile = _hang  # type: ignore[assignment,method-assign]
    sys.exit(app.run())
