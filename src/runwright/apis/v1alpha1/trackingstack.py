"""TrackingStack: PostgreSQL, an object store and MLflow, made by the operator or run by somebody else."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from runwright.apis.markers import Column, CustomResource, Rule, list_map, object_rules, server_default
from runwright.apis.v1alpha1.common import SAFE_MAX, ApiModel, Conditions, ObjectMeta, Timestamp
from runwright.apis.v1alpha1.trackingstack_parts import (
    BackupSpec,
    ObjectStoreSpec,
    PostgresqlSpec,
    RestoreSpec,
    ServerSpec,
)

NAME_LENGTH = 38
"""Releases, Services and workloads are named after the stack. A CronJob's name has at most 52 characters (its Jobs'
names are longer), and so has a StatefulSet's (its pods carry name and hash in one label): ``NAME-mlflow-backup``."""


class TrackingStackSpec(ApiModel):
    """Where runs are tracked; an empty one is a whole stack made by the operator."""

    model_config = object_rules(
        Rule(
            "!(has(self.server) && has(self.server.external)) || "
            "!(has(self.postgresql) || has(self.objectStore) || has(self.backup) || has(self.restoreFrom))",
            "an external server brings its own database, store and backup: remove the other parts, or server.external",
            ".server.external",
        ),
        Rule(
            "(has(self.server) && has(self.server.external)) == (has(oldSelf.server) && has(oldSelf.server.external))",
            "a stack stays external or its own: make a new TrackingStack",
            ".server.external",
        ),
        *(
            rule
            for part in ("postgresql", "objectStore")
            for rule in (
                Rule(
                    f"(has(self.{part}) && has(self.{part}.external)) == "
                    f"(has(oldSelf.{part}) && has(oldSelf.{part}.external))",
                    f"{part} stays external or the stack's own: make a new TrackingStack and restore a backup into it",
                    f".{part}",
                ),
                Rule(
                    f"(has(self.{part}) && has(self.{part}.storageClassName) ? self.{part}.storageClassName : '') == "
                    f"(has(oldSelf.{part}) && has(oldSelf.{part}.storageClassName) ? "
                    f"oldSelf.{part}.storageClassName : '')",
                    "the storage class of a volume is fixed: make a new TrackingStack and restore a backup into it",
                    f".{part}",
                ),
            )
        ),
    )

    postgresql: PostgresqlSpec | None = None
    """The database of runs, metrics and models."""
    object_store: ObjectStoreSpec | None = None
    """Where artifacts are kept: logs, checkpoints, models."""
    server: ServerSpec | None = None
    """The MLflow server."""
    backup: BackupSpec | None = None
    """Copies of the database and the artifacts in another bucket; default: none."""
    restore_from: RestoreSpec | None = None
    """The backup that an empty stack begins with."""
    deletion_policy: Literal["Retain", "Delete"] | None = None
    """What becomes of volumes and passwords when the stack is deleted; default Retain."""

    @property
    def external(self) -> bool:
        """Whether the whole stack is somebody else's."""
        return self.server is not None and self.server.external is not None


class ReleaseStatus(ApiModel):
    """A Helm release of the stack."""

    name: Annotated[str, Field(max_length=53)]
    """Name of the release."""
    chart: Annotated[str, Field(max_length=63)]
    """Name of the chart."""
    version: Annotated[str, Field(max_length=64)]
    """Version of the chart."""
    app_version: Annotated[str, Field(max_length=64)] | None = None
    """Version of what runs: PostgreSQL's, the object store's, MLflow's."""
    revision: Annotated[int, Field(ge=0, le=SAFE_MAX)]
    """Counts installation and upgrades."""
    state: Annotated[str, Field(max_length=32)]
    """Helm's own word: deployed, failed, pending-upgrade and so on."""


class TrackingStackStatus(ApiModel):
    """What was observed; written by the operator only."""

    observed_generation: Annotated[int, Field(ge=-1, le=SAFE_MAX), server_default(-1)] = -1
    """Generation of spec that this status was computed from; -1 before the first."""
    conditions: Conditions = ()
    """DatabaseReady, ObjectStoreReady, TrackingReady, BackupSucceeded, and kstatus' Ready, Reconciling, Stalled."""
    tracking_uri: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the MLflow server in use."""
    ui_url: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the user interface in use."""
    operator_secret_name: Annotated[str, Field(max_length=253)] | None = None
    """Secret (username, password) that the operator logs in with."""
    client_secret_name: Annotated[str, Field(max_length=253)] | None = None
    """Secret (username, password) that training pods log in with; it must be in the run's namespace."""
    ca_bundle: Annotated[str, Field(max_length=65536)] | None = None
    """Authorities (PEM) that clients of trackingUri trust."""
    releases: Annotated[tuple[ReleaseStatus, ...], Field(max_length=8), list_map("name")] = ()
    """The stack's Helm releases."""
    last_backup_time: Timestamp | None = None
    """When the last successful backup ended."""


class TrackingStack(ApiModel):
    """A place where runs are tracked."""

    resource: ClassVar[CustomResource] = CustomResource(
        kind="TrackingStack",
        plural="trackingstacks",
        short_names=("tstack",),
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
            Column("URL", ".status.uiUrl", description="Address of the MLflow user interface"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Tracking-URI", ".status.trackingUri", wide=True),
            Column("Backup", ".status.lastBackupTime", "date", wide=True, description="Last successful backup"),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ),
        root_rules=(
            Rule(
                f"self.metadata.name.size() <= {NAME_LENGTH} && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"must be at most {NAME_LENGTH} lower-case letters, digits and '-', start with a letter and end with "
                "a letter or digit, since Services are named after it",
                ".metadata.name",
            ),
        ),
    )

    api_version: Literal["runwright.dev/v1alpha1"] = "runwright.dev/v1alpha1"
    """API group and version."""
    kind: Literal["TrackingStack"] = "TrackingStack"
    """Kind of the object."""
    metadata: ObjectMeta
    """Name, namespace, labels and what else every object has."""
    spec: TrackingStackSpec
    """Where runs are tracked."""
    status: Annotated[TrackingStackStatus, server_default({})] = Field(default_factory=TrackingStackStatus)
    """What was observed; written by the operator."""
