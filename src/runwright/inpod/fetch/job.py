"""The job description: what to fetch, from where, with which credentials, to which paths. JSON, camelCase.

The operator builds it from a TrainingRun's spec; nothing in it is secret: credentials are folders that the init
container mounts.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from runwright.inpod.fetch.problems import FetchError, Reason

COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})$"
"""A full commit: SHA-1, or SHA-256 in repositories of that object format."""
ABSOLUTE = r"^/[^\x00]*$"
AbsolutePath = Annotated[str, Field(pattern=ABSOLUTE, max_length=4096)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


class GitJob(_Part):
    """Code from a Git repository."""

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    """https://..., ssh://[user@]host[:port]/path or user@host:path; http:// for open repositories."""
    revision: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Branch, tag, refs/... or commit (full, or at least 7 digits); default: the repository's default branch."""
    path: Annotated[str, Field(max_length=1024)] | None = None
    """Folder of the repository whose content is wanted; default: all of it."""
    commit: Annotated[str, Field(pattern=COMMIT)] | None = None
    """What an earlier attempt resolved `revision` to; then this commit and no other is fetched."""
    credentials: AbsolutePath | None = None
    """Folder with the keys of the credentials' Secret as files."""


class DatasetJob(_Part):
    """Data from an S3 object or prefix."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name, as in the spec."""
    uri: Annotated[str, Field(min_length=1, max_length=2048)]
    """s3://bucket/key or s3://bucket/prefix/."""
    endpoint: Annotated[str, Field(max_length=2048)] | None = None
    """URL of the S3 service; default: Amazon's."""
    region: Annotated[str, Field(max_length=64)] | None = None
    """Region to sign for; default us-east-1."""
    addressing_style: Literal["auto", "path", "virtual"] | None = None
    """Bucket in the path or in the host name; default: path with an endpoint, else what Amazon wants."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest the data must have (`tree.py` says of what)."""
    credentials: AbsolutePath | None = None
    """Folder with the keys of the credentials' Secret as files; default: the pod's own identity, else anonymous."""
    mount_path: AbsolutePath
    """Folder to fill."""
    cache_path: AbsolutePath | None = None
    """Mount of the cache claim, at the same path as in the training container; then `mountPath` gets links into it."""


class FetchJob(_Part):
    """Everything one pod needs before its training starts."""

    run: str = ""
    """uid of the TrainingRun: with `attempt` it tells a lock left by an earlier attempt of this run."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """Number of the attempt."""
    git: GitJob | None = None
    """Code, if it comes from Git."""
    workspace: AbsolutePath = "/workspace"
    """Folder that gets the code."""
    datasets: Annotated[tuple[DatasetJob, ...], Field(max_length=32)] = ()
    """Data, in the order of the spec."""
    ca_bundle: AbsolutePath | None = None
    """PEM file with certificate authorities to trust beside the system's."""
    result_file: AbsolutePath | None = None
    """Where the result is written, too; read again when the same pod fetches a second time."""
    termination_message_path: AbsolutePath = "/dev/termination-log"
    """Where the kubelet reads the termination message."""
    retry_seconds: Annotated[float, Field(gt=0, le=86400)] = 300
    """Trouble on the network ends the fetch when for so long nothing came."""
    parallelism: Annotated[int, Field(ge=1, le=64)] = 16
    """Connections per dataset."""
    part_bytes: Annotated[int, Field(ge=64 * 1024, le=2**32)] = 16 * 2**20
    """Objects larger than this are read in ranges of this size, side by side."""

    def to_json(self) -> str:
        """Return the JSON that `from_json` reads; absent fields are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a job description.

        Raises:
            FetchError: It is not JSON, or not of this shape; names the first wrong field.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first: Any = error.errors(include_url=False, include_input=False)[0]
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
            raise FetchError(Reason.INVALID_JOB, f"job{where}", first["msg"]) from None
