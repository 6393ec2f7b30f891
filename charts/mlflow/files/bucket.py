"""Wait for the artifacts' bucket in any S3; make it if that is ours to do.

Reads BUCKET, CREATE, WAIT_SECONDS and the usual AWS variables.
"""

# ruff: noqa: INP001, T201 - a program; what it prints is the container's log

import os
import sys
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = os.environ["BUCKET"]
CREATE = os.environ.get("CREATE", "true") == "true"
ENDPOINT = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
REGION = os.environ["AWS_DEFAULT_REGION"]
WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "InvalidTokenId"}
RETRY_SECONDS = 1.0


def client() -> Any:
    """Return a client that leaves the retries to us."""
    style = os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")
    config = Config(
        connect_timeout=5,
        read_timeout=15,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": style},
    )
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, config=config)


def ensure(s3: Any) -> str:
    """Return what was found or done. Raises ClientError or BotoCoreError where trying again may help."""
    try:
        s3.head_bucket(Bucket=BUCKET)
    except ClientError as error:
        # HEAD has no body that would say why: 403 may be wrong keys, or a right to use but not to look.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in ({403, 404} if CREATE else {403}):
            raise
        if not CREATE:
            return "cannot be looked at with this access key: going on, MLflow will say if it cannot use it"
    else:
        return "is there"
    location = {} if REGION == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    try:
        s3.create_bucket(Bucket=BUCKET, **location)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "BucketAlreadyOwnedByYou":
            return "is there"
        if code in {"AccessDenied", "AllAccessDisabled", "BucketAlreadyExists"}:
            return f"could not be looked at nor made ({code}): going on, MLflow will say if it cannot use it"
        if code in WRONG_KEYS:
            sys.exit(f"{where()} refuses the access key ({code}): check the Secret in artifacts.existingSecret")
        raise
    return "made"


def where() -> str:
    """Name the store in messages."""
    return ENDPOINT or f"S3 in {REGION}"


def main() -> None:
    """Try until it is there; end the program when that is not in time, or cannot be."""
    deadline = time.monotonic() + float(os.environ["WAIT_SECONDS"])
    s3 = client()
    last = ""
    while True:
        try:
            outcome = ensure(s3)
        except (ClientError, BotoCoreError) as error:
            problem = str(error)
        else:
            print(f"Bucket {BUCKET} at {where()}: {outcome}")
            return
        if time.monotonic() >= deadline:
            remedy = "" if CREATE else "; create it, or name another"
            sys.exit(f"No bucket {BUCKET} at {where()} after {os.environ['WAIT_SECONDS']} s{remedy}: {problem}")
        if problem != last:
            print(f"Waiting for {where()}: {problem}")
            last = problem
        time.sleep(RETRY_SECONDS)


main()
