"""What to do about a stack: a pure function from what is wanted and what is seen to a `Plan`.

`CHAIN` reads as the specification: the first member that has something to do decides, the next ones wait for the next
round, which follows at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.trackingstack.observed import Observed, PartView
from runwright.trackingstack.plan import Action, Plan
from runwright.trackingstack.policies import releases, rollout, secrets, storage

LOOK_AGAIN: Final = 30.0
"""Seconds between two looks at a stack that is as it should be."""
LOOK_SOON: Final = 5.0
"""Seconds between two looks at a server that does not answer although its pods are ready, or that is not ours."""
ON_ITS_WAY: Final = 2.5
"""Seconds between two looks at pods that are starting."""
PATIENCE: Final = timedelta(minutes=5)
SLOWLY: Final = 10.0
"""Seconds between two looks at pods that have not been ready for so long."""


@dataclass(frozen=True, slots=True)
class Case:
    """One stack at one moment."""

    stack: TrackingStack
    seen: Observed
    now: datetime

    @property
    def namespace(self) -> str:
        """The stack's namespace."""
        return self.stack.metadata.namespace

    @property
    def views(self) -> tuple[PartView, ...]:
        """The managed parts."""
        return tuple(self.seen.parts.values())

    @property
    def patient(self) -> bool:
        """Whether something other than an installation was refused a moment ago."""
        return self.seen.failure is not None and self.now < self.seen.failure.retry_at


def decide(stack: TrackingStack, seen: Observed, now: datetime) -> Plan:
    """Choose the next step of a stack."""
    case = Case(stack, seen, now)
    if seen.refused is None:
        for policy in CHAIN:
            if actions := policy(case):
                return Plan(actions)
    return Plan(requeue_after=_look_again(case))


def make_secrets(case: Case) -> tuple[Action, ...]:
    """Make sure that every password exists before anything that needs it."""
    return () if case.patient else secrets.missing(case.stack, case.seen)


def set_owners(case: Case) -> tuple[Action, ...]:
    """Make sure that the Secrets go with the stack exactly if ``deletionPolicy`` says so."""
    return () if case.patient else secrets.wrongly_owned(case.stack, case.seen)


def grow_volumes(case: Case) -> tuple[Action, ...]:
    """Make sure that volumes have the size that is asked for."""
    steps = [
        storage.growth(part, view, case.namespace)
        for part, view in case.seen.parts.items()
        if view.growth_failure is None or case.now >= view.growth_failure.retry_at
    ]
    return tuple(step for step in steps if step is not None)


def install_releases(case: Case) -> tuple[Action, ...]:
    """Make sure that every release is what its values say, each as soon as what it needs works."""
    due = [releases.due(case.stack, case.seen, part, case.now) for part in case.seen.parts]
    return tuple(action for action in due if action is not None)


def unblock_rollouts(case: Case) -> tuple[Action, ...]:
    """Make sure that no broken pod keeps its correction waiting."""
    return () if case.patient else tuple(pod for view in case.views for pod in rollout.stuck(view, case.namespace))


CHAIN: Final[tuple[Callable[[Case], tuple[Action, ...]], ...]] = (
    make_secrets,
    set_owners,
    grow_volumes,
    install_releases,
    unblock_rollouts,
)


def _look_again(case: Case) -> float:
    seen = case.seen
    if seen.refused is not None:
        return LOOK_AGAIN
    waits = [LOOK_AGAIN]
    if seen.answer:
        waits.append(LOOK_SOON)
    if any(not (view.current and view.works) and view.failure is None for view in case.views):
        waits.append(SLOWLY if _long_unready(case) else ON_ITS_WAY)
    failures = [seen.failure, *(f for view in case.views for f in (view.failure, view.growth_failure))]
    retries = [(failure.retry_at - case.now).total_seconds() for failure in failures if failure is not None]
    return min([*waits, *(max(1.0, seconds) for seconds in retries)])


def _long_unready(case: Case) -> bool:
    ready = next((c for c in case.stack.status.conditions if c.type == "Ready"), None)
    waits = (
        ready is not None and ready.status == "False" and ready.observed_generation == case.stack.metadata.generation
    )
    return waits and ready is not None and case.now - ready.last_transition_time > PATIENCE
