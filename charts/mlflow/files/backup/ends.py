"""The two ends of a copy: a bucket's folder here, one there, each with its own endpoint, keys and authorities."""

# ruff: noqa: INP001 - a module that the pod mounts beside its programs

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

DELETE_AT_ONCE = 1000
"""The most keys of one DeleteObjects request: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it; `key` is relative to the end's prefix."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class End:
    """A folder of a bucket. `store` is equal for two ends whose objects one request can copy."""

    client: Any
    bucket: str
    prefix: str
    store: tuple[str, str, str]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix} at {self.store[0] or 'Amazon S3'}"

    def key(self, relative: str) -> str:
        """Return the object's full key."""
        return self.prefix + relative

    def below(self, folder: str) -> End:
        """Return a folder of this one."""
        return End(self.client, self.bucket, f"{self.prefix}{folder}/", self.store)

    def contains(self, other: End) -> bool:
        """Whether a listing of this end shows the objects of the other."""
        here = (self.store[0], self.bucket)
        return here == (other.store[0], other.bucket) and other.prefix.startswith(self.prefix)

    def objects(self) -> Iterator[Listed]:
        """List everything."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                yield Listed(found["Key"].removeprefix(self.prefix), found["Size"], found["ETag"])

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the names, without suffix, of a folder's objects, oldest first: names are times."""
        found = (listed.key for listed in self.below(folder).objects())
        return sorted(key.removesuffix(suffix) for key in found if key.endswith(suffix))

    def delete(self, keys: list[str]) -> None:
        """Delete objects; those that are not there are no error."""
        for start in range(0, len(keys), DELETE_AT_ONCE):
            wanted = [{"Key": self.key(key)} for key in keys[start : start + DELETE_AT_ONCE]]
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": wanted, "Quiet": True})
            for error in answer.get("Errors", ()):
                sys.exit(f"{self}: cannot delete {error['Key']}: {error.get('Code')} {error.get('Message', '')}")


def end(role: str) -> End:
    """Return the end that the variables `<role>_...` describe; `role` is SOURCE or DESTINATION."""

    def given(name: str) -> str:
        return os.environ.get(f"{role}_{name}", "")

    endpoint, access_key = given("ENDPOINT").rstrip("/"), given("ACCESS_KEY_ID")
    # Stores other than Amazon's may not know the newer checksums.
    checksums = "when_required" if endpoint else "when_supported"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=given("REGION"),
        aws_access_key_id=access_key or None,
        aws_secret_access_key=given("SECRET_ACCESS_KEY") or None,
        verify=given("CA_FILE") or None,
        config=Config(
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=parallel() + 2,
            retries={"mode": "standard", "total_max_attempts": 5},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            s3={"addressing_style": given("ADDRESSING_STYLE") or "auto"},
        ),
    )
    prefix = given("PREFIX").strip("/")
    return End(client, given("BUCKET"), f"{prefix}/" if prefix else "", (endpoint, access_key, given("REGION")))


def parallel() -> int:
    """Return how many objects are copied at once."""
    return int(os.environ["PARALLEL"])


def gone(error: ClientError) -> bool:
    """Whether the object is not there."""
    return error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}


def fail(place: End, error: Exception) -> NoReturn:
    """End the program with what a store said and where to look."""
    message = f"{place}: {error}"
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        if code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403"}:
            message += "; check the keys in the existingSecret of this store, and what they may do"
        elif code == "NoSuchBucket":
            message += "; make the bucket, or correct its name in the values"
    sys.exit(message)
