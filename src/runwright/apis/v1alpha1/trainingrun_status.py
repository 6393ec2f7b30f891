"""What Runwright reports about a TrainingRun."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from runwright.apis.markers import list_map, server_default
from runwright.apis.v1alpha1.common import INT32_MAX, SAFE_MAX, ApiModel, Conditions, Timestamp

Counter = Annotated[int, Field(ge=0, le=INT32_MAX)]
Seconds = Annotated[int, Field(ge=0, le=SAFE_MAX)]
Step = int
"""MLflow takes any 64-bit integer as a step."""
ExitCode = Annotated[int, Field(ge=-INT32_MAX - 1, le=INT32_MAX)]
Name = Annotated[str, Field(max_length=253)]
Reason = Annotated[str, Field(max_length=256)]
MetricName = Annotated[str, Field(max_length=250)]
MetricValue = Annotated[str, Field(max_length=32)]


class Phase(StrEnum):
    """Where the run stands, in a word."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """True when nothing will run any more."""
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}


class AttemptStatus(ApiModel):
    """One try: one Job and its pods."""

    number: Annotated[int, Field(ge=1, le=INT32_MAX)]
    """Number of the attempt, from 1."""
    job: Name | None = None
    """Name of the attempt's Job."""
    start_time: Timestamp | None = None
    """When all of the attempt's pods were running."""
    end_time: Timestamp | None = None
    """When the attempt was over."""
    running_seconds: Seconds | None = None
    """Seconds that its pods ran."""
    suspend_time: Timestamp | None = None
    """Since when a queue has taken its nodes away; absent while it has them."""
    resume_time: Timestamp | None = None
    """Since when its pods have been running again after a queue had taken the nodes away."""
    preemptions: Counter | None = None
    """How often a queue took its nodes away; each is a disruption."""
    outcome: Literal["Succeeded", "Failed", "Disrupted", "Suspended", "Stopped"] | None = None
    """How the attempt ended; absent while it lasts."""
    reason: Reason | None = None
    """Why it ended, in CamelCase, e.g. OOMKilled."""
    exit_code: ExitCode | None = None
    """Exit code of the container that ended it."""
    pod: Name | None = None
    """Pod that ended it."""
    node: Name | None = None
    """Node of that pod."""
    counts_as: Literal["Failure", "Disruption"] | None = None
    """Which of retry.maxFailures and retry.maxDisruptions the attempt used up; absent for a success."""


class TrackingStatus(ApiModel):
    """The MLflow run that belongs to the TrainingRun."""

    experiment_id: Annotated[str, Field(max_length=64)] | None = None
    """Id of the MLflow experiment."""
    experiment: Annotated[str, Field(max_length=500)] | None = None
    """Name of the MLflow experiment, with the namespace prefix where the stack is shared."""
    run_id: Annotated[str, Field(max_length=64)] | None = None
    """Id of the MLflow run, the same for all attempts."""
    url: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the run in MLflow's user interface."""


class ObjectiveStatus(ApiModel):
    """The objective metric: latest and best value."""

    metric: MetricName
    """Name of the metric."""
    value: MetricValue | None = None
    """Latest value, as decimal text."""
    step: Step | None = None
    """Step of the latest value."""
    best: MetricValue | None = None
    """Best value so far by spec.objective.direction."""
    best_step: Step | None = None
    """Step of the best value."""


class MetricStatus(ApiModel):
    """The latest point of one metric."""

    name: MetricName
    """Name of the metric as logged to MLflow."""
    value: MetricValue
    """Value as decimal text; NaN and infinities are text, too."""
    step: Step | None = None
    """Step that the value was logged for."""
    timestamp: Timestamp | None = None
    """When the value was logged."""


class ProgressStatus(ApiModel):
    """How far the training is."""

    percentage: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much is done, in percent: by the metric progress, or by epoch and a parameter epochs."""
    step: Step | None = None
    """Finished epochs, where the metric epoch tells them."""
    total_steps: Step | None = None
    """Number of epochs, from the parameter epochs, max_epochs, num_train_epochs or num_epochs."""
    estimated_remaining_seconds: Seconds | None = None
    """Seconds to the end at the pace so far; absent where that says nothing."""


class CheckpointStatus(ApiModel):
    """The last checkpoint that the code told of by logging the metric checkpoint."""

    step: Step
    """Step of the checkpoint."""
    time: Timestamp
    """When it was written."""


class StopStatus(ApiModel):
    """A stop that is being carried out, or was."""

    mode: Literal["Finish", "Cancel"]
    """Finish: the code ends by itself, in time; Cancel: at once."""
    reason: Reason
    """Who stops: Requested, or EarlyStopping."""
    message: Annotated[str, Field(max_length=1024)] | None = None
    """Why, for people."""
    time: Timestamp
    """Since when $RUNWRIGHT_STOP_FILE is being raised in the pods."""


class FailureStatus(ApiModel):
    """What ended the last attempt that did not succeed; gone when the run succeeds."""

    reason: Reason
    """Cause in CamelCase, e.g. AppFailed, OOMKilled, Evicted."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """Cause for people, with the remedy where one is known."""
    exit_code: ExitCode | None = None
    """Exit code of the container that failed."""
    pod: Name | None = None
    """Pod that failed first."""
    node: Name | None = None
    """Node of that pod."""
    log_tail: Annotated[str, Field(max_length=2048)] | None = None
    """Last lines of that pod's log."""


class Resolved(ApiModel):
    """What the run was made of, as found at its start."""

    image: Annotated[str, Field(max_length=1024)] | None = None
    """Image as started."""
    image_digest: Annotated[str, Field(max_length=1024)] | None = None
    """Digest of the image that ran."""
    git_commit: Annotated[str, Field(max_length=64)] | None = None
    """Commit of the source."""
    spec_hash: Annotated[str, Field(max_length=128)] | None = None
    """Hash of the fields of spec that decide the result."""


class TrainingRunStatus(ApiModel):
    """What was observed; written by the operator only."""

    phase: Phase | None = None
    """Where the run stands, in a word; the conditions say why."""
    observed_generation: Annotated[int, Field(ge=-1, le=SAFE_MAX), server_default(-1)] = -1
    """Generation of spec that this status was computed from; -1 before the first."""
    start_time: Timestamp | None = None
    """When the pods of the first attempt were running."""
    completion_time: Timestamp | None = None
    """When the run reached a terminal phase."""
    attempt: Counter = 0
    """Number of the current or last attempt, from 1."""
    failures: Counter = 0
    """Attempts that the code ended."""
    disruptions: Counter = 0
    """Preemptions, evictions and lost nodes."""
    running_seconds: Seconds = 0
    """Seconds that all ended attempts together ran."""
    next_attempt_time: Timestamp | None = None
    """When the next attempt starts; present while the run waits for it."""
    attempts: Annotated[tuple[AttemptStatus, ...], Field(max_length=10), list_map("number")] = ()
    """The last ten attempts."""
    conditions: Conditions = ()
    """Suspended, Running, Complete, Failed, TrackingAvailable, and kstatus' Ready, Reconciling, Stalled."""
    tracking: TrackingStatus | None = None
    """The MLflow run."""
    objective: ObjectiveStatus | None = None
    """Latest and best value of spec.objective.metric."""
    metrics: Annotated[tuple[MetricStatus, ...], Field(max_length=64), list_map("name")] = ()
    """Latest point of each metric, at most 64."""
    progress: ProgressStatus | None = None
    """How far the training is."""
    checkpoint: CheckpointStatus | None = None
    """The last checkpoint that the code told of."""
    stop: StopStatus | None = None
    """A stop that is being carried out, or was."""
    failure: FailureStatus | None = None
    """What ended the last attempt that did not succeed; gone when the run succeeds."""
    resolved: Resolved | None = None
    """What the run was made of."""
