"""The S3 side: one bucket, read only; what its errors mean."""

import os
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from runwright.inpod.fetch.credentials import Redactor, Secret, ca_bundle
from runwright.inpod.fetch.job import DatasetJob
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError
from runwright.inpod.fetch.setting import Setting
from runwright.inpod.fetch.tree import UnsafePathError, check_tree, safe_path

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES: Final = 2**20
BUCKET: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")
"""Old buckets have upper case, '_' and 255 characters; the service knows the rest of the rules."""
DEFAULT_REGION: Final = "us-east-1"
_IDENTITY: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
"""Variables by which platforms give a pod an identity of its own (EKS: IRSA, Pod Identity)."""

_PLATFORM: Final = ("AWS_WEB_IDENTITY_", "AWS_ROLE_", "AWS_CONTAINER_", "AWS_STS_", "AWS_REGION", "AWS_CA_BUNDLE")
"""What such platforms set beside it, and the machine's authorities."""

_WRONG_KEYS: Final = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidTokenId"),
        *("TokenRefreshRequired", "AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp"),
        *("401", "403", "Forbidden", "Unauthorized"),
    }
)
_MISSING: Final = frozenset({"NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NotFound", "404"})
_BUSY: Final = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "429"})
_CHANGED: Final = frozenset({"PreconditionFailed", "InvalidRange", "412", "416"})
_REGION: Final = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301", "307"}
)


class ChangedError(TroubleError):
    """The object is no longer the one that was listed."""


class MissingError(FetchError):
    """There is no such object."""


class DeniedError(FetchError):
    """The credentials may not."""


@dataclass(frozen=True, slots=True)
class Location:
    """An ``s3://`` URI, taken apart."""

    bucket: str
    key: str

    @property
    def name(self) -> str:
        """Last part of the key: what a single object's file is called."""
        return self.key.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One object: its key, the relative path it gets, and what pins its content."""

    key: str
    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a URI turned out to be: one object, or all below a prefix."""

    files: tuple[RemoteFile, ...]
    single: bool

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(file.size for file in self.files)


def isolate(environ: MutableMapping[str, str]) -> None:
    """Take out of the environment what would change how S3 is read: profiles, endpoints, keys, instance metadata."""
    for name in [name for name in environ if name.startswith("AWS_") and not name.startswith(_PLATFORM)]:
        del environ[name]
    environ["AWS_CONFIG_FILE"] = environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    environ["AWS_EC2_METADATA_DISABLED"] = "true"  # a node's identity is not the run's


def parse_uri(uri: str, field: str) -> Location:
    """Read an ``s3://`` URI.

    Raises:
        FetchError: It is none.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not separator or scheme != "s3":
        raise FetchError(
            Reason.INVALID_JOB, field, f"{uri!r} is not an S3 address", "write s3://bucket/key or s3://bucket/prefix/"
        )
    if not BUCKET.match(bucket):
        raise FetchError(Reason.INVALID_JOB, field, f"{bucket!r} is not the name of a bucket", "write s3://bucket/key")
    return Location(bucket, key)


class Bucket:
    """A bucket to read from; safe to share between threads.

    Args:
        location: Where; only the bucket counts.
        field: Prefix of the fields that errors name, e.g. ``spec.datasets[0]``.
        job: Endpoint, region, addressing style and credentials.
        setting: Shared by all datasets.

    Raises:
        FetchError: Endpoint, region or credentials are malformed.
    """

    def __init__(self, location: Location, field: str, job: DatasetJob, setting: Setting) -> None:
        self._location = location
        self._field = field
        self._secret = secret = Secret(
            Path(job.credentials) if job.credentials else None, f"{field}.credentialsSecretRef"
        )
        bundle = ca_bundle(
            setting.private / "s3-ca.pem", [secret.path("ca.crt", "caFile"), setting.authority], secret.field
        )
        keys = _keys(secret, setting.redactor)
        anonymous = not keys and not any(name in os.environ for name in _IDENTITY)
        config: dict[str, Any] = {
            "retries": {"total_max_attempts": 1, "mode": "standard"},  # `Patience` retries, part by part
            "connect_timeout": 10,
            "read_timeout": 60,
            "max_pool_connections": setting.pace.parallelism,
            "s3": {"addressing_style": job.addressing_style or ("path" if job.endpoint else "auto")},
            # Services other than Amazon's know no checksum headers; the digest is ours anyway.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "ignore_configured_endpoint_urls": True,
            "user_agent_extra": "runwright-fetch",
        }
        if anonymous:
            config["signature_version"] = UNSIGNED
        try:
            self._client: S3Client = boto3.Session().client(
                "s3",
                endpoint_url=job.endpoint,
                region_name=job.region or os.environ.get("AWS_REGION") or DEFAULT_REGION,
                verify=str(bundle) if bundle else None,
                config=Config(**config),
                **keys,
            )
        except (ValueError, InvalidRegionError) as error:
            part = "region" if isinstance(error, InvalidRegionError) else "endpoint"
            raise FetchError(Reason.INVALID_JOB, f"{field}.{part}", str(error), "write https://host[:port]") from None

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._meaning(error, what) from None
        except SSLError as error:
            if "certificate" not in str(error).lower():
                raise TroubleError(str(error)) from None
            remedy = "put its certificate authority into the Secret's key ca.crt"
            raise FetchError(Reason.CERTIFICATE, f"{self._field}.endpoint", str(error), remedy) from None
        except (NoCredentialsError, CredentialRetrievalError) as error:
            raise DeniedError(Reason.DATASET_ACCESS, f"{self._field}.credentialsSecretRef", str(error)) from None
        except ParamValidationError as error:
            raise FetchError(Reason.INVALID_JOB, f"{self._field}.uri", str(error)) from None
        except ResponseParserError as error:
            message = f"what answers does not speak S3 ({str(error)[:200]})"
            raise FetchError(Reason.DATASET_REFUSED, f"{self._field}.endpoint", message, "check the address") from None
        except (HTTPClientError, BotoCoreError, HTTPError, ReadTimeoutError, ConnectionError) as error:
            raise TroubleError(f"{what}: {error}") from None

    def _meaning(self, error: ClientError, what: str) -> Exception:
        told: Any = error.response.get("Error", {})
        code, status = str(told.get("Code", "")), int(error.response["ResponseMetadata"].get("HTTPStatusCode") or 0)
        said = f"{what}: {code} {told.get('Message', '')}".strip()
        if code in _CHANGED:
            return ChangedError(said)
        if code in _REGION:
            return FetchError(Reason.DATASET_REFUSED, f"{self._field}.region", said, "set the bucket's region")
        if code == "RequestTimeTooSkewed":
            return FetchError(Reason.DATASET_REFUSED, f"{self._field}.endpoint", said, "set the node's clock")
        if code == "InvalidObjectState":
            return FetchError(Reason.DATASET_REFUSED, f"{self._field}.uri", said, "restore it from the archive first")
        if code in _MISSING:
            return MissingError(Reason.DATASET_NOT_FOUND, f"{self._field}.uri", said, "check bucket and key")
        if code in _WRONG_KEYS:
            which = (
                "credentials" if self._secret.folder else "anonymous access: there is no credentialsSecretRef, which"
            )
            remedy = "they need s3:GetObject, and s3:ListBucket for a prefix"
            return DeniedError(
                Reason.DATASET_ACCESS, f"{self._field}.credentialsSecretRef", f"the {which} may not {said}", remedy
            )
        if code in _BUSY or status >= 500 or status == 429:  # noqa: PLR2004  # HTTP
            return TroubleError(said)
        return FetchError(Reason.DATASET_REFUSED, f"{self._field}.uri", said)

    def look(self) -> Source:
        """Tell what the URI is: an object, else everything below it.

        Raises:
            FetchError: Neither; or keys that can't be files.
            TroubleError: The service did not answer.
        """
        key = self._location.key
        denied: FetchError | None = None
        if key and not key.endswith("/"):
            try:
                with self._understood(f"read {key}"):
                    told = self._client.head_object(Bucket=self._location.bucket, Key=key)
                path = self._checked(self._location.name, key)
                return Source((RemoteFile(key, path, told["ContentLength"], told["ETag"]),), single=True)
            except MissingError:
                pass
            except DeniedError as error:
                denied = error  # some services say 403 for what isn't there, unless one may list
        try:
            files = self._list(f"{key.rstrip('/')}/" if key.strip("/") else "")
        except DeniedError:
            raise denied or MissingError(
                Reason.DATASET_NOT_FOUND,
                f"{self._field}.uri",
                f"there is no object {key!r} that these credentials can see, and they may not list the bucket",
                "check the key, or allow s3:ListBucket",
            ) from None
        if files:
            return Source(files, single=False)
        where = f"s3://{self._location.bucket}/{key}"
        raise MissingError(Reason.DATASET_NOT_FOUND, f"{self._field}.uri", f"there is nothing at {where}", "correct it")

    def _list(self, prefix: str) -> tuple[RemoteFile, ...]:
        found = []
        with self._understood(f"list {self._location.bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket, Prefix=prefix
            ):
                for entry in page.get("Contents", ()):
                    if entry["Key"].endswith("/") and entry["Size"] == 0:
                        continue  # what consoles make to show an empty folder
                    path = self._checked(entry["Key"].removeprefix(prefix), entry["Key"])
                    found.append(RemoteFile(entry["Key"], path, entry["Size"], entry["ETag"]))
        try:
            check_tree(file.path for file in found)
        except UnsafePathError as error:
            raise self._unsafe(str(error)) from None
        return tuple(found)

    def _checked(self, path: str, key: str) -> str:
        try:
            return safe_path(path)
        except UnsafePathError as error:
            raise self._unsafe(f"the key {key[:200]!r} can't be a file: {error}") from None

    def _unsafe(self, message: str) -> FetchError:
        return FetchError(Reason.DATASET_KEY, f"{self._field}.uri", message, "rename or leave out that object")

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end` (exclusive) of the object that was listed, in order.

        Raises:
            ChangedError: Another object is there now, or none.
            TroubleError: The connection broke; what came until then was yielded.
            FetchError: The service refuses.
        """
        whole = start == 0 and end == file.size
        ranged: dict[str, str] = {} if whole else {"Range": f"bytes={start}-{end - 1}"}
        try:
            with self._understood(f"read {file.key}"):
                answer = self._client.get_object(
                    Bucket=self._location.bucket,
                    Key=file.key,
                    IfMatch=file.etag,
                    **ranged,  # type: ignore[arg-type]
                )
                if answer["ContentLength"] != end - start or answer["ETag"] != file.etag:
                    raise ChangedError(f"{file.key} changed while it was read")
                body = answer["Body"]
                try:
                    while chunk := body.read(CHUNK_BYTES):
                        yield chunk
                finally:
                    body.close()
        except MissingError as error:
            raise ChangedError(str(error)) from None


def _keys(secret: Secret, redactor: Redactor) -> dict[str, Any]:
    if secret.folder is None:
        return {}
    access = secret.text("accessKey", "AWS_ACCESS_KEY_ID")
    if access is None and secret.path("ca.crt", "caFile"):
        return {}  # an open bucket behind a private authority
    found = {
        "aws_access_key_id": access or secret.require("accessKey", "AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": secret.require("secretKey", "AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": secret.text("sessionToken", "AWS_SESSION_TOKEN"),
    }
    redactor.learn(found["aws_secret_access_key"], found["aws_session_token"])
    return found
