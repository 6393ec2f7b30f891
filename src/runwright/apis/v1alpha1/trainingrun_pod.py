"""The parts of a TrainingRun's spec that shape its pods: an allow-list instead of a free pod template."""

from typing import Annotated, Literal

from pydantic import Field

from runwright.apis.markers import Rule, object_rules
from runwright.apis.v1alpha1.common import DNS_LABEL, SAFE_MAX, ApiModel, LabelValue, ObjectName, Quantity

RESERVED_ENV_PREFIXES = ("PARAM_", "RUNWRIGHT_", "PET_")
RESERVED_ENV = (
    "MASTER_ADDR",
    "MASTER_PORT",
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "HOME",
    "JOB_COMPLETION_INDEX",
)
RESERVED_VOLUMES = ("workspace", "source", "control", "shm", "checkpoint", "datasets")
RESERVED_VOLUME_PREFIX = "runwright-"


_RESERVED_ENV_TEXT = ", ".join((*(f"{prefix}*" for prefix in RESERVED_ENV_PREFIXES), *RESERVED_ENV))


def _cel_list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _starts_with_any(prefixes: tuple[str, ...]) -> str:
    return " || ".join(f"self.startsWith('{prefix}')" for prefix in prefixes)


MountPath = Annotated[
    str,
    Field(min_length=2, max_length=512, pattern=r"^(/[^/:]+)+$"),
    Rule(
        "!self.split('/').exists(part, part == '.' || part == '..')",
        "mountPath must not contain '.' or '..' parts",
    ),
    Rule(
        "!(self in ['/workspace', '/runwright', '/dev/shm']) && !self.startsWith('/runwright/')",
        "mountPath must not be /workspace (a directory below it is allowed), /runwright, or /dev/shm "
        "(set spec.sharedMemory instead): Runwright mounts these itself",
    ),
]
"""Where a volume is mounted in the training container."""


class KeySelector(ApiModel):
    """A key of a Secret or ConfigMap in the run's namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in it."""
    optional: bool | None = None
    """True lets the pods start without it."""


class EnvVarSource(ApiModel):
    """Where the value of an environment variable comes from."""

    model_config = object_rules(
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "set exactly one of secretKeyRef and configMapKeyRef",
        )
    )

    secret_key_ref: KeySelector | None = None
    """Key of a Secret in the run's namespace."""
    config_map_key_ref: KeySelector | None = None
    """Key of a ConfigMap in the run's namespace."""


class EnvVar(ApiModel):
    """An environment variable of the training container."""

    model_config = object_rules(
        Rule("!has(self.value) || !has(self.valueFrom)", "set value or valueFrom, not both"),
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=128, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"),
        Rule(
            f"!({_starts_with_any(RESERVED_ENV_PREFIXES)} || self in {_cel_list(RESERVED_ENV)})",
            f"the name is set by Runwright, choose another (reserved: {_RESERVED_ENV_TEXT})",
        ),
    ]
    """Name of the variable; those that Runwright sets are refused."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Value; $(NAME) refers to a variable defined earlier."""
    value_from: EnvVarSource | None = None
    """Where the value comes from."""


class ResourcesPerNode(ApiModel):
    """What each node (pod) of the run gets."""

    model_config = object_rules(
        Rule(
            "!has(self.gpuResourceName) || has(self.gpus)",
            "gpuResourceName needs gpus: set the number of devices, or remove gpuResourceName",
            ".gpuResourceName",
        ),
    )

    cpu: Quantity | None = None
    """CPU cores requested, e.g. 2 or 500m."""
    memory: Quantity | None = None
    """Memory, request and limit, e.g. 4Gi."""
    gpus: Annotated[int, Field(ge=0, le=128)] | None = None
    """GPUs, request and limit."""
    gpu_resource_name: (
        Annotated[
            str,
            Field(
                max_length=253,
                pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
            ),
        ]
        | None
    ) = None
    """Extended resource that gpus counts; default nvidia.com/gpu."""
    ephemeral_storage: Quantity | None = None
    """Local disk, request and limit, e.g. 10Gi."""


class Toleration(ApiModel):
    """A taint that the pods tolerate, as in Pods."""

    model_config = object_rules(
        Rule(
            "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            "operator must be Exists when key is empty",
        ),
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "value must be empty when operator is Exists",
            ".value",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "effect must be NoExecute when tolerationSeconds is set",
            ".tolerationSeconds",
        ),
    )

    key: Annotated[str, Field(max_length=317, pattern=r"^[-A-Za-z0-9_./]*$")] | None = None
    """Key of the taint; absent with operator Exists means every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How value is compared; default Equal."""
    value: LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent means every effect."""
    toleration_seconds: Annotated[int, Field(ge=-SAFE_MAX, le=SAFE_MAX)] | None = None
    """How long a NoExecute taint is tolerated; absent means for ever, 0 and less mean not at all."""


class PersistentVolumeClaimVolume(ApiModel):
    """An existing PersistentVolumeClaim of the run's namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""


class EmptyDirVolume(ApiModel):
    """A directory that lives as long as the pod."""

    size_limit: Quantity | None = None
    """Size at which the pod is evicted, e.g. 10Gi."""
    medium: Literal["Memory"] | None = None
    """Memory keeps the directory in RAM; absent means on the node's disk."""


class ConfigMapVolume(ApiModel):
    """A ConfigMap of the run's namespace, one file for each key."""

    name: ObjectName
    """Name of the ConfigMap."""


class SecretVolume(ApiModel):
    """A Secret of the run's namespace, one file for each key."""

    secret_name: ObjectName
    """Name of the Secret."""


class Volume(ApiModel):
    """A volume and where it is mounted in the training container."""

    model_config = object_rules(
        Rule(
            "[has(self.persistentVolumeClaim), has(self.emptyDir), has(self.configMap), has(self.secret)]"
            ".filter(present, present).size() == 1",
            "set exactly one of persistentVolumeClaim, emptyDir, configMap and secret",
        ),
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=63, pattern=DNS_LABEL),
        Rule(
            f"!(self in {_cel_list(RESERVED_VOLUMES)}) && !self.startsWith('{RESERVED_VOLUME_PREFIX}')",
            "the name belongs to Runwright, choose another (reserved: "
            f"{', '.join((*RESERVED_VOLUMES, RESERVED_VOLUME_PREFIX + '*'))})",
        ),
    ]
    """Name, unique within the run."""
    mount_path: MountPath
    """Absolute path in the container, without a trailing slash."""
    read_only: bool | None = None
    """True mounts the volume read-only."""
    sub_path: (
        Annotated[
            str,
            Field(min_length=1, max_length=512, pattern=r"^[^/:]+(/[^/:]+)*$"),
            Rule(
                "!self.split('/').exists(part, part == '.' || part == '..')",
                "subPath must be relative, without '.' or '..' parts",
            ),
        ]
        | None
    ) = None
    """Path within the volume to mount instead of its root."""
    persistent_volume_claim: PersistentVolumeClaimVolume | None = None
    """An existing PersistentVolumeClaim."""
    empty_dir: EmptyDirVolume | None = None
    """A directory that lives as long as the pod."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap as files."""
    secret: SecretVolume | None = None
    """A Secret as files."""


class ImagePullSecret(ApiModel):
    """A Secret with registry credentials in the run's namespace."""

    name: ObjectName
    """Name of the Secret."""
