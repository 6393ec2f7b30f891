"""Folders of buckets in real stores, and what lies in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tests.support.object_store import KEY, SECRET, ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3(store: ObjectStore) -> "S3Client":
    """A client of the store's administrator."""
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    return client


@dataclass(frozen=True)
class Place:
    """A folder of a bucket."""

    store: ObjectStore
    bucket: str
    prefix: str = ""

    def make(self, objects: Mapping[str, bytes] | None = None) -> "Place":
        """Make the bucket, with objects in the folder."""
        s3(self.store).create_bucket(Bucket=self.bucket)
        self.put(objects or {})
        return self

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Store objects."""
        for key, content in objects.items():
            s3(self.store).put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        s3(self.store).delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def objects(self) -> dict[str, bytes]:
        """Everything in the folder."""
        client, found = s3(self.store), {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix):
            for one in page.get("Contents", ()):
                body = client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"]
                found[one["Key"].removeprefix(self.prefix)] = body.read()
        return found

    def below(self, folder: str) -> dict[str, bytes]:
        """Everything in a folder of it."""
        return {k.removeprefix(folder + "/"): v for k, v in self.objects().items() if k.startswith(folder + "/")}

    def end(self, role: str) -> dict[str, str]:
        """The variables of the backup's programs for this place."""
        given = {"ENDPOINT": self.store.endpoint, "REGION": "us-east-1", "BUCKET": self.bucket, "PREFIX": self.prefix}
        keys = {"ADDRESSING_STYLE": "path", "ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET}
        return {f"{role}_{name}": value for name, value in (given | keys).items() if value}
