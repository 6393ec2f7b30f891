"""Where a TrainingRun's code and data come from."""

from typing import Annotated

from pydantic import Field

from runwright.apis.markers import Rule, object_rules
from runwright.apis.v1alpha1.common import DNS_LABEL, NO_SPACE, ApiModel, ObjectName
from runwright.apis.v1alpha1.trainingrun_pod import MountPath

GIT_URL = (
    r"^(https?://[^ \t-\r/?#@:]+(:[0-9]+)?/[^ \t-\r?#]+"
    r"|ssh://([A-Za-z0-9._-]+@)?[^ \t-\r/?#@:]+(:[0-9]+)?/[^ \t-\r?#]+"
    r"|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^ \t-\r/][^ \t-\r]*)$"
)
"""https, ssh, or ``git@host:path``. A password in a URL would end up in the MLflow run: it belongs into a Secret."""

NO_DOTS = Rule("!self.split('/').exists(part, part == '.' || part == '..')", "must not contain '.' or '..' parts")


class CredentialsSecretRef(ApiModel):
    """A Secret of the run's namespace; only the container that fetches sees it."""

    name: ObjectName
    """Name of the Secret."""


class GitSource(ApiModel):
    """Training code in a Git repository."""

    url: Annotated[str, Field(min_length=1, max_length=2048, pattern=GIT_URL)]
    """Address of the repository: https://host/path, ssh://git@host/path or git@host:path; without a password."""
    revision: Annotated[str, Field(min_length=1, max_length=250, pattern=f"^[^-]{NO_SPACE}*$")] | None = None
    """Branch, tag or commit; default: the repository's default branch. The first attempt fixes the commit."""
    path: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^/ \t-\r][^ \t-\r]*$"), NO_DOTS] | None = None
    """Directory of the repository that becomes /workspace; default: its root."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Secret with username and password (https), or ssh-privatekey and known_hosts (ssh)."""


class ConfigMapSource(ApiModel):
    """Training code in a ConfigMap."""

    name: ObjectName
    """Name of a ConfigMap in the run's namespace; each key becomes a file in /workspace."""


class InlineSource(ApiModel):
    """Training code in the manifest itself."""

    files: Annotated[
        dict[str, Annotated[str, Field(max_length=262144)]],
        Field(min_length=1, max_length=64),
        Rule(
            "self.all(k, k.size() <= 253 && k.matches('^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$') && "
            "!k.split('/').exists(part, part == '.' || part == '..'))",
            "keys of files must be relative paths of at most 253 letters, digits, '.', '_', '-' and '/', "
            "without '.' or '..' parts",
        ),
        Rule(
            "self.map(k, bytes(self[k]).size()).sum() <= 524288",
            "files must have at most 524288 bytes together; use source.configMap, source.git or an image for more",
        ),
    ]
    """Content by path below /workspace."""


class SourceSpec(ApiModel):
    """Training code that is not in the image; it lands in /workspace."""

    model_config = object_rules(
        Rule(
            "[has(self.git), has(self.configMap), has(self.inline)].filter(present, present).size() == 1",
            "set exactly one of git, configMap and inline",
        ),
    )

    git: GitSource | None = None
    """A Git repository with the code."""
    config_map: ConfigMapSource | None = None
    """A ConfigMap with the code."""
    inline: InlineSource | None = None
    """The code itself."""


class DatasetCache(ApiModel):
    """Where a fetched data set is kept for the next run."""

    claim_name: ObjectName
    """Name of an existing PersistentVolumeClaim of the run's namespace."""


class Dataset(ApiModel):
    """Data that is fetched from an S3 object store before the training starts."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
    """Name, unique within the run; MLflow shows the data set by it."""
    uri: Annotated[
        str, Field(min_length=1, max_length=2048, pattern=r"^s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[^ \t-\r]*)?$")
    ]
    """s3://bucket/key of one object, or s3://bucket/prefix/ of all objects below a prefix."""
    endpoint: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^ \t-\r/?#@]+/?$")] | None = None
    """Address of the object store; default: Amazon's."""
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")] | None = None
    """Region of the bucket; default: us-east-1."""
    credentials_secret_ref: CredentialsSecretRef | None = None
    """Secret with accessKey and secretKey; default: anonymous."""
    sha256: Annotated[str, Field(min_length=64, max_length=64, pattern="^[0-9a-f]+$")] | None = None
    """SHA-256 of the object in hex, or of the listing of a prefix; another content ends the run as DatasetMismatch."""
    mount_path: MountPath | None = None
    """Where the data lies in the training container, read-only; default: /data/<name>."""
    cache: DatasetCache | None = None
    """Where the data is kept between runs; default: fetched by each pod."""

    @property
    def path(self) -> str:
        """Where the data lies, with the default applied."""
        return self.mount_path or f"/data/{self.name}"
