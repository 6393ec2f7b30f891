"""What to do: a pure function from what is wanted and what is seen to a `Plan`.

`CHAIN` reads as the specification: the first member that has something to say decides.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from runwright.apis.v1alpha1 import TrainingRun
from runwright.trainingrun import beginning, ending, running
from runwright.trainingrun.case import Case
from runwright.trainingrun.observed import Observed
from runwright.trainingrun.options import Options
from runwright.trainingrun.plan import BackingOff, Live, Plan, Queued, Waiting
from runwright.trainingrun.policies.timing import soonest

CHAIN: Final[tuple[Callable[[Case], Plan | None], ...]] = (
    beginning.keep_hands_off,
    ending.settle,
    ending.end_strays,
    beginning.note_stop,
    beginning.stop_at_once,
    beginning.hold,
    beginning.enforce_pending_deadline,
    beginning.reuse_recorded,
    beginning.create_mlflow_run,
    beginning.begin_first_attempt,
    beginning.wait_between_attempts,
    beginning.create_job,
    running.end_attempt,
    running.follow_queue,
    running.enforce_deadline,
    running.give_up_lost_nodes,
    running.let_go_of_half_a_gang,
    running.finish,
    running.end_silence,
    running.stop_early,
    running.follow,
)


def decide(run: TrainingRun, seen: Observed, options: Options, now: datetime) -> Plan:
    """Choose the next step of a run."""
    case = Case(run, run.status, seen, options, now)
    for member in CHAIN:
        plan = member(case)
        if plan is not None:
            return _in_time(plan, case)
    raise AssertionError("the chain's last member always has a plan")


def _in_time(plan: Plan, case: Case) -> Plan:
    """Wait no longer than ``pendingDeadlineSeconds`` allows, whatever is waited for."""
    if not isinstance(plan.verdict, Waiting | Live | Queued | BackingOff):
        return plan
    return replace(plan, requeue_after=soonest(plan.requeue_after, case.pending_left))
