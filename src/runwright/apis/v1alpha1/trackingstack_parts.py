"""The parts of a TrackingStack: database, object store, MLflow server, backup."""

from typing import Annotated, Literal

from pydantic import Field

from runwright.apis.markers import Rule, object_rules
from runwright.apis.v1alpha1.common import QUALIFIED_KEYS, ApiModel, ObjectName, Quantity

HttpUrl = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=r"^https?://[^ \t-\r/?#@]+(/[^ \t-\r?#]*)?$"),
    Rule(
        "isURL(self)",
        "must be an http or https URL without credentials, query or fragment, e.g. http://mlflow.tracking:5000",
    ),
]
HostName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")]
ImageReference = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^ \t-\r]+$")]
Bucket = Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][-a-z0-9.]*[a-z0-9]$")]
Prefix = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*$")]
Region = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
CronSchedule = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[-0-9A-Za-z*/,]+( [-0-9A-Za-z*/,]+){4})$",
    ),
]
"""Five fields, or ``@daily`` and the like."""
CaBundle = Annotated[str, Field(min_length=1, max_length=65536, pattern=r"^\s*-----BEGIN CERTIFICATE-----")]


class SecretRef(ApiModel):
    """A Secret of the stack's namespace."""

    name: ObjectName
    """Name of the Secret."""


class ResourceAmounts(ApiModel):
    """Amounts of what a node has."""

    cpu: Quantity | None = None
    """Cores, e.g. 500m."""
    memory: Quantity | None = None
    """Main memory, e.g. 1Gi."""


class PartResources(ApiModel):
    """What the pod asks the scheduler for and may use at most."""

    requests: ResourceAmounts | None = None
    """Reserved for the pod."""
    limits: ResourceAmounts | None = None
    """The most it may use."""


class ExternalPostgresql(ApiModel):
    """A PostgreSQL database that somebody else runs."""

    host: HostName
    """Host name or IPv4 address, as the MLflow pod reaches it."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port."""
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode."""
    secret_ref: SecretRef
    """Secret with the keys username, password and database."""
    ca_secret_ref: SecretRef | None = None
    """Secret whose key ca.crt holds the authorities to trust; for verify-ca and verify-full."""


class PostgresqlSpec(ApiModel):
    """The database of runs, metrics and models."""

    model_config = object_rules(
        Rule(
            "!has(self.external) || !(has(self.version) || has(self.image) || has(self.storage) || "
            "has(self.storageClassName) || has(self.resources) || has(self.tlsSecretName))",
            "external stands alone: remove the other fields of postgresql, or external",
            ".external",
        ),
    )

    version: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[1-9][0-9](\.[0-9]+)?$")] | None = None
    """Version of PostgreSQL, e.g. "17"; another major version needs a backup and a restore."""
    image: ImageReference | None = None
    """Image to run instead of the operator's own choice."""
    storage: Quantity | None = None
    """Size of the volume, default 8Gi; may grow where the storage class allows it, a smaller one is ignored."""
    storage_class_name: ObjectName | None = None
    """Storage class of the volume; default: the cluster's."""
    resources: PartResources | None = None
    """CPU and memory of the pod."""
    tls_secret_name: ObjectName | None = None
    """Secret with tls.crt, tls.key and ca.crt: the database then speaks TLS."""
    external: ExternalPostgresql | None = None
    """A database that somebody else runs."""


class S3Location(ApiModel):
    """A bucket of an S3-compatible object store."""

    endpoint: HttpUrl | None = None
    """Address of the store; default: Amazon S3 of the region."""
    region: Region = "us-east-1"
    """Region that requests are signed for."""
    bucket: Bucket
    """Name of the bucket."""
    prefix: Prefix | None = None
    """Folder within the bucket, without a slash at either end."""
    addressing_style: Literal["path", "virtual", "auto"] = "path"
    """How the bucket is named: in the path or in the host name."""
    secret_ref: SecretRef | None = None
    """Secret with the keys accessKey and secretKey; default: the pod's own identity (e.g. IRSA)."""
    ca_secret_ref: SecretRef | None = None
    """Secret whose key ca.crt holds the authorities to trust."""


class ObjectStoreSpec(ApiModel):
    """Where artifacts are kept: logs, checkpoints, models."""

    model_config = object_rules(
        Rule(
            "!has(self.external) || !(has(self.image) || has(self.storage) || has(self.storageClassName) || "
            "has(self.resources) || has(self.tlsSecretName))",
            "external stands alone: remove the other fields of objectStore, or external",
            ".external",
        ),
    )

    image: ImageReference | None = None
    """Image to run instead of the operator's own choice."""
    storage: Quantity | None = None
    """Size of the volume, default 20Gi; may grow where the storage class allows it, a smaller one is ignored."""
    storage_class_name: ObjectName | None = None
    """Storage class of the volume; default: the cluster's."""
    resources: PartResources | None = None
    """CPU and memory of the pod."""
    tls_secret_name: ObjectName | None = None
    """Secret with tls.crt, tls.key and ca.crt: the store then speaks TLS."""
    external: S3Location | None = None
    """A bucket that somebody else keeps."""


class IngressSpec(ApiModel):
    """How people outside the cluster reach the user interface."""

    host: HostName
    """Host name of the user interface."""
    class_name: ObjectName | None = None
    """IngressClass; default: the cluster's."""
    tls_secret_name: ObjectName | None = None
    """Secret with the host's certificate (tls.crt, tls.key); the address is then https."""
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32), QUALIFIED_KEYS] = (
        Field(default_factory=dict)
    )
    """Annotations for the ingress controller or cert-manager."""


class GarbageCollection(ApiModel):
    """Removes for good what was deleted in MLflow (``mlflow gc``)."""

    schedule: CronSchedule = "30 3 * * *"
    """When, in cron's notation, UTC."""
    older_than: Annotated[str, Field(min_length=2, max_length=32, pattern=r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?$")] = "30d"
    """How long ago a run must have been deleted, e.g. 30d or 12h."""


class ExternalServer(ApiModel):
    """An MLflow server that somebody else runs."""

    tracking_uri: HttpUrl
    """Address of the MLflow server, as the operator and the training pods reach it."""
    ui_url: HttpUrl | None = None
    """Address of the MLflow user interface, as people reach it; default: trackingUri."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with username and password; a Secret of this name must be in the namespace of each run, too."""
    operator_secret_ref: SecretRef | None = None
    """Secret with username and password for the operator; default: credentialsSecretRef."""
    ca_bundle: CaBundle | None = None
    """Authorities (PEM) to trust for an https trackingUri."""


class ServerSpec(ApiModel):
    """The MLflow server."""

    model_config = object_rules(
        Rule(
            "!has(self.external) || !(has(self.version) || has(self.image) || has(self.replicas) || "
            "has(self.resources) || has(self.ingress) || has(self.auth) || has(self.gc) || has(self.tlsSecretName))",
            "external stands alone: remove the other fields of server, or external",
            ".external",
        ),
    )

    version: (
        Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*$")] | None
    ) = None
    """Version of MLflow, e.g. 3.17.2; a newer one migrates the database's schema before it serves."""
    image: ImageReference | None = None
    """Image to run instead of the operator's own choice."""
    replicas: Annotated[int, Field(ge=1, le=16)] | None = None
    """Pods of the server, default 1."""
    resources: PartResources | None = None
    """CPU and memory of each pod."""
    ingress: IngressSpec | None = None
    """How people outside the cluster reach the user interface."""
    auth: Literal["None", "Basic"] | None = None
    """Basic: user names and passwords, generated; default None: whoever reaches the server may use it."""
    gc: GarbageCollection | None = None
    """Removes for good what was deleted in MLflow; default: nothing is removed."""
    tls_secret_name: ObjectName | None = None
    """Secret with tls.crt, tls.key and ca.crt: the server then speaks TLS, trackingUri is https."""
    external: ExternalServer | None = None
    """An MLflow server that somebody else runs."""


class BackupSpec(ApiModel):
    """Copies of the database and the artifacts in another bucket."""

    schedule: CronSchedule = "0 2 * * *"
    """When, in cron's notation, UTC."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 7
    """How many backups are kept."""
    destination: S3Location
    """Where they are kept."""


class RestoreSpec(ApiModel):
    """The backup that an empty stack begins with; a database that holds anything is left as it is."""

    source: S3Location
    """The backup's destination."""
    backup: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]*$")] = "latest"
    """Name of the backup; default: the newest."""
