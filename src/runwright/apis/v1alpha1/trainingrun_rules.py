"""The rules of a TrainingRun's life: what is tried again, what ends it, what it is measured by."""

from typing import Annotated, Literal

from pydantic import Field

from runwright.apis.markers import LIST_ATOMIC, Rule, object_rules
from runwright.apis.v1alpha1.common import INT32_MAX, SAFE_MAX, ApiModel, ObjectName, Quantity
from runwright.apis.v1alpha1.trainingrun_pod import MountPath

Decimal = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$")
]
"""A number as text: JSON's floats read back differently by every program."""
Direction = Literal["Maximize", "Minimize"]


class Objective(ApiModel):
    """The metric by which runs are compared."""

    metric: Annotated[str, Field(min_length=1, max_length=250)]
    """Name of the metric as logged to MLflow."""
    direction: Direction
    """Which values are better."""


class EarlyStopping(ApiModel):
    """When a run has learned what it can; it is then stopped as by stop.mode Finish."""

    model_config = object_rules(
        Rule("has(self.patience) || has(self.threshold)", "set patience, threshold or both"),
        Rule("!has(self.minDelta) || has(self.patience)", "minDelta needs patience", ".minDelta"),
    )

    metric: Annotated[str, Field(min_length=1, max_length=250)] | None = None
    """Name of the metric to watch; default: objective.metric."""
    direction: Direction | None = None
    """Which values are better; default: objective.direction, where it is that metric."""
    patience: Annotated[int, Field(ge=1, le=INT32_MAX)] | None = None
    """Stop after so many steps with a value and without an improvement."""
    min_delta: Annotated[Decimal, Rule("!self.startsWith('-')", "must not be negative")] | None = None
    """What counts as an improvement, e.g. "0.001"; default: anything better."""
    threshold: Decimal | None = None
    """Stop as soon as a value is at least as good as this, e.g. "0.99"."""
    min_steps: Annotated[int, Field(ge=0, le=SAFE_MAX)] = 0
    """Stop at no step below this one; default 0."""
    timeout_seconds: Annotated[int, Field(ge=0, le=86400)] = 600
    """Seconds that the code gets to end by itself once $RUNWRIGHT_STOP_FILE has content; default 600."""


class Inactivity(ApiModel):
    """What happens when a run logs nothing any more."""

    timeout_seconds: Annotated[int, Field(ge=30, le=INT32_MAX)]
    """Seconds without a new metric or step, and without a log line of the first node."""
    action: Literal["Event", "Restart", "Fail"] = "Event"
    """Say so only (default), end the attempt as a failure, or fail the run."""


class Retry(ApiModel):
    """When a run that stopped is tried again, under the same MLflow run."""

    model_config = object_rules(
        Rule(
            "(has(self.backoffSeconds) ? self.backoffSeconds : 10) <= "
            "(has(self.maxBackoffSeconds) ? self.maxBackoffSeconds : 600)",
            "backoffSeconds (default 10) must not exceed maxBackoffSeconds (default 600)",
            ".backoffSeconds",
        ),
    )

    max_failures: Annotated[int, Field(ge=0, le=1000)] = 0
    """Failures of the code that are tried again; default 0."""
    max_disruptions: Annotated[int, Field(ge=0, le=10000)] = 20
    """Preemptions, evictions and lost nodes that are tried again; default 20."""
    backoff_seconds: Annotated[int, Field(ge=1, le=86400)] = 10
    """Seconds before the first new attempt; doubles with each further one; default 10."""
    max_backoff_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Longest wait before a new attempt, in seconds; default 600."""
    non_retryable_exit_codes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(max_length=32), LIST_ATOMIC
    ] = ()
    """Exit codes that end the run at once, whatever maxFailures says."""
    node_lost_timeout_seconds: Annotated[int, Field(ge=0, le=86400)] = 120
    """Seconds that a pod may take to end beyond its grace period before its node counts as lost; default 120."""


class Stop(ApiModel):
    """Ends the run on request; set once, it cannot be changed or taken back."""

    mode: Literal["Finish", "Cancel"]
    """Finish lets the code end its epoch and counts as success; Cancel ends it at once."""
    reason: Annotated[str, Field(max_length=1024)] | None = None
    """Why, for people."""
    timeout_seconds: Annotated[int, Field(ge=0, le=86400)] = 600
    """With Finish: seconds that the code gets once $RUNWRIGHT_STOP_FILE has content, before SIGTERM; default 600."""


class Checkpoint(ApiModel):
    """A volume for checkpoints, the same for all attempts."""

    model_config = object_rules(
        Rule(
            "has(self.claimName) != has(self.size)",
            "set exactly one of claimName (an existing PersistentVolumeClaim) and size (one made for this run)",
        ),
        Rule("!has(self.storageClassName) || has(self.size)", "storageClassName needs size", ".storageClassName"),
        Rule("!has(self.accessMode) || has(self.size)", "accessMode needs size", ".accessMode"),
    )

    mount_path: MountPath = "/checkpoints"
    """Where the volume is mounted: $RUNWRIGHT_CHECKPOINT_DIR; default /checkpoints."""
    claim_name: ObjectName | None = None
    """Name of an existing PersistentVolumeClaim of the run's namespace; it is never deleted."""
    size: Quantity | None = None
    """Size of a claim made for this run, and deleted with it, e.g. 10Gi."""
    storage_class_name: ObjectName | None = None
    """StorageClass of that claim; default: the cluster's."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] | None = None
    """Access mode of that claim; default: ReadWriteMany with several nodes, else ReadWriteOnce."""
