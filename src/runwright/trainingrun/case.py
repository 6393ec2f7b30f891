"""One run at one moment: what every decision looks at."""

from dataclasses import dataclass
from datetime import datetime

from runwright.apis.v1alpha1 import Phase, TrainingRun, TrainingRunSpec, TrainingRunStatus
from runwright.trainingrun import records
from runwright.trainingrun.environment import Tracked
from runwright.trainingrun.observed import JobView, Observed, PodView
from runwright.trainingrun.options import Options
from runwright.trainingrun.policies import deadlines, inactivity, pending
from runwright.trainingrun.policies.inactivity import Silence


@dataclass(frozen=True, slots=True)
class Case:
    """One run at one moment."""

    run: TrainingRun
    status: TrainingRunStatus
    seen: Observed
    options: Options
    now: datetime

    @property
    def spec(self) -> TrainingRunSpec:
        """What is wanted."""
        return self.run.spec

    @property
    def attempt(self) -> int:
        """Number of the current attempt; 0 before the first."""
        return self.status.attempt or 0

    @property
    def between(self) -> bool:
        """Whether the current attempt is over, as the status tells: whatever is left of it has to go."""
        return self.status.next_attempt_time is not None

    @property
    def job(self) -> JobView | None:
        """Job of the current attempt."""
        return self.seen.jobs.get(self.attempt)

    @property
    def pods(self) -> tuple[PodView, ...]:
        """Pods of the current attempt."""
        return self.seen.pods_of(self.attempt)

    @property
    def run_id(self) -> str:
        """Id of the MLflow run; ``""`` while there is none."""
        return (self.status.tracking.run_id or "") if self.status.tracking else ""

    @property
    def tracked(self) -> Tracked | None:
        """Coordinates of the MLflow run for the pods."""
        tracking = self.status.tracking
        if self.seen.server is None or tracking is None or not tracking.run_id:
            return None
        return Tracked(self.seen.server, tracking.experiment_id or "", tracking.run_id)

    @property
    def running_since(self) -> datetime | None:
        """Since when the attempt has been running without a break; None while it does not run."""
        if records.running_attempt(self.status) is not None:
            return records.running_from(self.status)
        return deadlines.running_since(self.pods, self.spec.num_nodes)

    @property
    def deadline_left(self) -> float | None:
        """Seconds until ``activeDeadlineSeconds`` strikes."""
        spent = self.status.running_seconds or 0
        return deadlines.seconds_left(self.spec.active_deadline_seconds, spent, self.running_since, self.now)

    @property
    def pending_left(self) -> float | None:
        """Seconds until ``pendingDeadlineSeconds`` strikes."""
        phase = self.status.phase
        if records.trained(self.status) or self.running_since is not None or phase is Phase.SUSPENDED:
            return None
        suspended = records.condition(self.status, "Suspended")
        resumed = suspended.last_transition_time if suspended and suspended.status == "False" else None
        created = self.run.metadata.creation_timestamp
        return pending.seconds_left(self.spec.pending_deadline_seconds, created, resumed, self.now)

    @property
    def silence(self) -> Silence | None:
        """How long nothing was heard of the attempt, where somebody wants to know and can."""
        since, wanted = self.running_since, self.spec.inactivity
        if wanted is None or since is None or self.status.stop is not None or self.seen.tracker_problem:
            return None
        if self.options.tracking and (self.seen.server is None or self.seen.tracked is None):
            return None
        available = records.condition(self.status, "TrackingAvailable")
        if available is not None and available.status == "True":  # while it was away nothing could be logged
            since = max(since, available.last_transition_time)
        metrics = self.seen.tracked.metrics if self.seen.tracked else {}
        logged = inactivity.last_logged(metrics, since, self.now)
        return inactivity.silence(wanted.timeout_seconds, logged, self.seen.last_line, self.now)
