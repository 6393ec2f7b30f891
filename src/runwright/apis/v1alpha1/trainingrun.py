"""TrainingRun: what to train, tracked as one MLflow run."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from runwright.apis.markers import (
    LIST_ATOMIC,
    MUTABLE_FIELD,
    Column,
    CustomResource,
    Rule,
    list_map,
    object_rules,
    server_default,
)
from runwright.apis.v1alpha1.common import (
    DNS_1035_NAME,
    INT32_MAX,
    NO_SPACE,
    QUALIFIED_KEYS,
    ApiModel,
    LabelValue,
    ObjectMeta,
    ObjectName,
    Quantity,
)
from runwright.apis.v1alpha1.trainingrun_pod import (
    EnvVar,
    ImagePullSecret,
    ResourcesPerNode,
    Toleration,
    Volume,
)
from runwright.apis.v1alpha1.trainingrun_rules import (
    Checkpoint,
    Direction,
    EarlyStopping,
    Inactivity,
    Objective,
    Retry,
    Stop,
)
from runwright.apis.v1alpha1.trainingrun_source import Dataset, GitSource, SourceSpec
from runwright.apis.v1alpha1.trainingrun_status import TrainingRunStatus

MANAGER = "runwright.dev/operator"
"""Value of managedBy that means this operator, as its absence does."""

MLFLOW_KEY = "^[A-Za-z0-9_][A-Za-z0-9_.: -]*(/[A-Za-z0-9_][A-Za-z0-9_.: -]*)*$"
"""What MLflow accepts as the key of a tag (mlflow.utils.validation), but for non-ASCII letters."""

RESERVED_KEYS = Rule(
    "!self.exists(k, k.startsWith('runwright.dev/') || k.matches('^([^/]*[.])?(kubernetes|k8s)[.]io/'))",
    "keys must not use the prefixes runwright.dev/, kubernetes.io/ and k8s.io/, which are not the user's",
)


class StackRef(ApiModel):
    """A TrackingStack of the run's namespace."""

    name: ObjectName
    """Name of the TrackingStack."""


class TrackingSpec(ApiModel):
    """How the run appears in MLflow."""

    stack_ref: StackRef | None = None
    """TrackingStack in the run's namespace; default: the operator's."""
    experiment: Annotated[str, Field(min_length=1, max_length=256, pattern=f"^{NO_SPACE}(.*{NO_SPACE})?$")] | None = (
        None
    )
    """MLflow experiment; default: the namespace. The operator's default stack puts <namespace>/ before it."""
    run_name: Annotated[str, Field(min_length=1, max_length=250)] | None = None
    """Name of the MLflow run; default: the name of the TrainingRun."""
    description: Annotated[str, Field(max_length=4096)] | None = None
    """Text that MLflow shows with the run, in Markdown."""
    tags: Annotated[
        dict[
            str,
            Annotated[str, Field(max_length=4096)],
        ],
        Field(max_length=50),
        Rule(
            f"self.all(k, k.size() <= 250 && k.matches('{MLFLOW_KEY}'))",
            "keys of tags must be at most 250 letters, digits, '_', '.', ':', '-', ' ' and '/', and each part "
            "between '/' must start with a letter, digit or '_'",
        ),
        Rule(
            "!self.exists(k, k.startsWith('mlflow.') || k.startsWith('runwright.'))",
            "keys of tags must not start with mlflow. or runwright., which MLflow and Runwright set",
        ),
        MUTABLE_FIELD,
    ] = Field(default_factory=dict)
    """Tags of the MLflow run."""


LAUNCHER_RULE = Rule(
    "(has(self.launcher) ? self.launcher == 'None' : "
    "(has(self.numNodes) ? self.numNodes : 1) * (has(self.numProcPerNode) ? self.numProcPerNode : "
    "(has(self.resourcesPerNode) && has(self.resourcesPerNode.gpus) && self.resourcesPerNode.gpus > 1 "
    "? self.resourcesPerNode.gpus : 1)) <= 1) || has(self.command)",
    "command is required with launcher Torchrun, the default with more than one process; "
    "set launcher: None to start the image's entrypoint once on each node",
    ".command",
)


CHECKPOINT_PATH = "(has(self.checkpoint.mountPath) ? self.checkpoint.mountPath : '/checkpoints')"
DATASET_PATH = "(has(d.mountPath) ? d.mountPath : '/data/' + d.name)"
PATH_RULES = (
    Rule(
        f"!has(self.checkpoint) || !has(self.volumes) || !self.volumes.exists(v, v.mountPath == {CHECKPOINT_PATH})",
        "checkpoint.mountPath (default /checkpoints) is the mountPath of a volume, too: change one of them",
        ".checkpoint",
    ),
    Rule(
        f"!has(self.datasets) || !has(self.volumes) || "
        f"!self.datasets.exists(d, self.volumes.exists(v, v.mountPath == {DATASET_PATH}))",
        "the mountPath of a dataset (default /data/<name>) is that of a volume, too: change one of them",
        ".datasets",
    ),
    Rule(
        f"!has(self.datasets) || !has(self.checkpoint) || "
        f"!self.datasets.exists(d, {DATASET_PATH} == {CHECKPOINT_PATH})",
        "checkpoint.mountPath (default /checkpoints) is that of a dataset, too: change one of them",
        ".datasets",
    ),
)

SECRETS_RULE = Rule(
    "(has(self.env) ? self.env.filter(e, has(e.valueFrom) && has(e.valueFrom.secretKeyRef)).size() : 0) + "
    "(has(self.volumes) ? self.volumes.filter(v, has(v.secret)).size() : 0) + "
    "(has(self.imagePullSecrets) ? self.imagePullSecrets.size() : 0) + "
    "(has(self.datasets) ? self.datasets.filter(d, has(d.credentialsSecretRef)).size() : 0) + "
    "(has(self.source) && has(self.source.git) && has(self.source.git.credentialsSecretRef) ? 1 : 0) <= 16",
    "at most 16 references to Secrets (env, volumes, imagePullSecrets, source.git, datasets) are possible, since the "
    "right to read each is checked; mount a Secret of many keys as a volume",
)
"""A check of a right costs 350,000 of the 1,000,000 that an expression of a ValidatingAdmissionPolicy may."""

EARLY_STOPPING_RULE = Rule(
    "!has(self.earlyStopping) || (has(self.earlyStopping.metric) && has(self.earlyStopping.direction)) || "
    "(has(self.objective) && (!has(self.earlyStopping.metric) || self.earlyStopping.metric == self.objective.metric))",
    "earlyStopping needs metric and direction, unless it watches the metric of objective",
    ".earlyStopping",
)

STOP_ONCE = Rule(
    "!has(oldSelf.stop) || (has(self.stop) && self.stop == oldSelf.stop)",
    "stop is set once: it cannot be changed or taken back; delete the TrainingRun to end it at once, "
    "or use a new metadata.name to train again",
    ".stop",
)


class TrainingRunSpec(ApiModel):
    """What to train. Fixed at creation, but for the fields that say they are mutable."""

    model_config = object_rules(
        LAUNCHER_RULE,
        *PATH_RULES,
        SECRETS_RULE,
        EARLY_STOPPING_RULE,
        STOP_ONCE,
        Rule(
            "!has(self.seed) || !has(self.parameters) || !('seed' in self.parameters)",
            "parameters.seed is what spec.seed logs; keep only one of them",
            ".parameters",
        ),
        Rule(
            "!has(self.seed) || !has(self.env) || !self.env.exists(e, e.name == 'PYTHONHASHSEED')",
            "PYTHONHASHSEED is set from spec.seed; keep only one of them",
            ".env",
        ),
    )

    tracking: TrackingSpec = Field(default_factory=TrackingSpec)
    """How the run appears in MLflow."""
    parameters: Annotated[
        dict[str, Annotated[str, Field(max_length=2048)]],
        Field(max_length=100),
        Rule(
            "self.all(k, k.size() <= 100 && k.matches('^[A-Za-z_][A-Za-z0-9_]*$'))",
            "names of parameters must be identifiers of at most 100 letters, digits and '_'",
        ),
    ] = Field(default_factory=dict)
    """Hyperparameters, logged to MLflow verbatim; the code reads PARAM_<name> or $RUNWRIGHT_PARAMS_FILE."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Random seed: RUNWRIGHT_SEED, PYTHONHASHSEED and the parameter seed."""
    source: SourceSpec | None = None
    """Training code that is not in the image."""
    datasets: Annotated[
        tuple[Dataset, ...],
        Field(max_length=16),
        list_map("name"),
        Rule(
            "self.all(a, self.filter(d, (has(d.mountPath) ? d.mountPath : '/data/' + d.name) == "
            "(has(a.mountPath) ? a.mountPath : '/data/' + a.name)).size() == 1)",
            "each mountPath may be used by one dataset only",
        ),
    ] = ()
    """Data that is fetched before the training starts."""
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=f"^{NO_SPACE}+$")]
    """Container image that trains; with launcher Torchrun it needs python3 and torch."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled; default as in Pods."""
    image_pull_secrets: Annotated[tuple[ImagePullSecret, ...], Field(max_length=8), list_map("name")] = ()
    """Secrets with registry credentials."""
    command: (
        Annotated[
            tuple[Annotated[str, Field(max_length=8192)], ...],
            Field(min_length=1, max_length=64),
            LIST_ATOMIC,
        ]
        | None
    ) = None
    """Program and its first arguments; default: the image's entrypoint. $(PARAM_lr) is replaced."""
    args: Annotated[tuple[Annotated[str, Field(max_length=8192)], ...], Field(max_length=256), LIST_ATOMIC] | None = (
        None
    )
    """Arguments; default: the image's. $(PARAM_lr) is replaced."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=128), list_map("name")] = ()
    """Environment variables of the training container."""
    working_dir: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^/[^:]*$")] = "/workspace"
    """Working directory; default /workspace."""
    launcher: Literal["None", "Torchrun"] | None = None
    """What starts the command on each node; default Torchrun with more than one process, else None."""
    num_nodes: Annotated[int, Field(ge=1, le=4096)] = 1
    """Number of nodes (pods); default 1."""
    num_proc_per_node: Annotated[int, Field(ge=1, le=256)] | None = None
    """Training processes on each node; default: resourcesPerNode.gpus, else 1."""
    resources_per_node: ResourcesPerNode = Field(default_factory=ResourcesPerNode)
    """What each node gets."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm, e.g. 8Gi; default: on, without a limit of its own, with gpus or several processes."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32), QUALIFIED_KEYS] = Field(default_factory=dict)
    """Labels that the nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32), LIST_ATOMIC] = ()
    """Taints that the pods tolerate."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods; its token is not mounted."""
    pod_labels: Annotated[dict[str, LabelValue], Field(max_length=32), QUALIFIED_KEYS, RESERVED_KEYS] = Field(
        default_factory=dict
    )
    """More labels for the pods."""
    pod_annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32), QUALIFIED_KEYS, RESERVED_KEYS
    ] = Field(default_factory=dict)
    """More annotations for the pods."""
    run_as_user: Annotated[int, Field(ge=1, le=INT32_MAX)] = 1000
    """User id of the processes, never root; default 1000."""
    run_as_group: Annotated[int, Field(ge=0, le=INT32_MAX)] = 1000
    """Group id of the processes; default 1000."""
    fs_group: Annotated[int, Field(ge=0, le=INT32_MAX)] = 1000
    """Group that owns the volumes; default 1000."""
    volumes: Annotated[
        tuple[Volume, ...],
        Field(max_length=16),
        list_map("name"),
        Rule(
            "self.all(a, self.filter(b, b.mountPath == a.mountPath).size() == 1)",
            "each mountPath may be used by one volume only",
        ),
    ] = ()
    """Volumes of the training container."""
    checkpoint: Checkpoint | None = None
    """A volume for checkpoints, the same for all attempts."""
    objective: Objective | None = None
    """The metric by which runs are compared."""
    early_stopping: Annotated[EarlyStopping, MUTABLE_FIELD] | None = None
    """When the run has learned what it can; default: never."""
    inactivity: Annotated[Inactivity, MUTABLE_FIELD] | None = None
    """What happens when the run logs nothing any more; default: nothing."""
    retry: Annotated[Retry, MUTABLE_FIELD] = Field(default_factory=Retry)
    """When the run is tried again."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=INT32_MAX), MUTABLE_FIELD] | None = None
    """Seconds that the attempts may run together before the run fails; default: no limit."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=INT32_MAX), MUTABLE_FIELD] | None = None
    """Seconds that the run may wait for its first attempt to run before it fails; default: no limit."""
    gang_timeout_seconds: Annotated[int, Field(ge=1, le=INT32_MAX), MUTABLE_FIELD] = 300
    """Seconds that some nodes may hold their place while others find none, before all let go; default 300."""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = 60
    """Seconds between SIGTERM and SIGKILL; default 60."""
    pods_ttl_seconds_after_finished: Annotated[
        int, Field(ge=0, le=INT32_MAX, alias="podsTTLSecondsAfterFinished"), MUTABLE_FIELD
    ] = 3600
    """Seconds that pods and Jobs stay after the end; default 3600. The TrainingRun itself stays."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=INT32_MAX), MUTABLE_FIELD] | None = None
    """Seconds after which the finished TrainingRun itself is deleted; its MLflow run stays. Default: never."""
    suspend: Annotated[bool, MUTABLE_FIELD] = False
    """True ends the pods and keeps the run, to go on as another attempt later; default false."""
    stop: Annotated[Stop, MUTABLE_FIELD] | None = None
    """Ends the run on request; set once."""
    rerun_policy: Literal["Always", "IfNotRecorded"] = "Always"
    """IfNotRecorded: where MLflow has a FINISHED run of this name and spec already, nothing runs; default Always."""
    managed_by: (
        Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9._]+$")]
        | None
    ) = None
    """Who carries the run out; default runwright.dev/operator. With another value this operator leaves it alone."""

    @property
    def git(self) -> GitSource | None:
        """Repository that the code comes from."""
        return self.source.git if self.source is not None else None

    @property
    def early_stopping_metric(self) -> tuple[str, Direction] | None:
        """Metric that early stopping watches and which values are better, with the defaults applied."""
        wanted, objective = self.early_stopping, self.objective
        if wanted is None:
            return None
        name = wanted.metric or (objective.metric if objective else "")
        direction = wanted.direction or (objective.direction if objective and objective.metric == name else None)
        return (name, direction) if name and direction else None

    @property
    def processes_per_node(self) -> int:
        """Training processes on each node, with the default applied."""
        return self.num_proc_per_node or self.resources_per_node.gpus or 1

    @property
    def uses_torchrun(self) -> bool:
        """Whether torchrun starts the command, with the default applied."""
        if self.launcher is not None:
            return self.launcher == "Torchrun"
        return self.num_nodes * self.processes_per_node > 1


class TrainingRun(ApiModel):
    """A training job and its MLflow run."""

    resource: ClassVar[CustomResource] = CustomResource(
        kind="TrainingRun",
        plural="trainingruns",
        short_names=("trun",),
        columns=(
            Column("Phase", ".status.phase"),
            Column("Progress", ".status.progress.percentage", "integer", description="Percent done"),
            Column("Metric", ".status.objective.value", description="Latest value of the objective metric"),
            Column("Attempt", ".status.attempt", "integer"),
            Column("Experiment", ".status.tracking.experiment"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Run-ID", ".status.tracking.runId", wide=True, description="Id of the MLflow run"),
            Column("Nodes", ".spec.numNodes", "integer", wide=True),
            Column(
                "ETA",
                ".status.progress.estimatedRemainingSeconds",
                "integer",
                wide=True,
                description="Estimated seconds to the end",
            ),
            Column("Message", '.status.conditions[?(@.type=="Running")].message', wide=True),
        ),
        selectable=(".status.phase", ".spec.ttlSecondsAfterFinished"),
        immutable_spec=True,
        root_rules=(DNS_1035_NAME,),
    )

    api_version: Literal["runwright.dev/v1alpha1"] = "runwright.dev/v1alpha1"
    """API group and version."""
    kind: Literal["TrainingRun"] = "TrainingRun"
    """Kind of the object."""
    metadata: ObjectMeta
    """Name, namespace, labels and what else every object has."""
    spec: TrainingRunSpec
    """What to train. Fixed at creation, but for the fields that say they are mutable."""
    status: Annotated[TrainingRunStatus, server_default({})] = Field(default_factory=TrainingRunStatus)
    """What was observed; written by the operator."""
