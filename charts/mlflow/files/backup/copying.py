"""Copies many objects at once from one end to the other, without keeping any on disk."""

# ruff: noqa: INP001, T201 - a module that the pod mounts beside its programs; what it prints is the container's log

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from ends import End, Listed, gone, parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MIB = 1024 * 1024
MOST_PARTS = 9000
"""S3 takes 10,000: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
ONE_REQUEST = 5 * 1024 * MIB
"""The largest object that one CopyObject request copies (same source)."""
ATTEMPTS = 3
SAID_EVERY_SECONDS = 30.0
SHOWN = 10


@dataclass
class Outcome:
    """What became of the objects."""

    copied: int = 0
    size: int = 0
    gone: int = 0
    failed: int = 0


def copy_all(
    source: End, destination: End, objects: Iterable[Listed], done: Callable[[Listed, Listed | None], None]
) -> Outcome:
    """Copy objects; `done` is called, by this thread, with what was asked and what it was when read (None: gone).

    One that cannot be copied is said and counted, and does not keep the others back.
    """
    outcome = Outcome()
    said = time.monotonic()
    running: dict[Future[Listed | None], Listed] = {}

    def settle() -> None:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            wanted = running.pop(future)
            try:
                read = future.result()
            except (BotoCoreError, ClientError, OSError) as error:
                outcome.failed += 1
                if outcome.failed <= SHOWN:
                    print(f"{wanted.key}: {error}")
                continue
            done(wanted, read)
            if read is None:
                outcome.gone += 1
            else:
                outcome.copied += 1
                outcome.size += read.size

    with ThreadPoolExecutor(parallel()) as pool:
        for wanted in objects:
            running[pool.submit(copy, source, destination, wanted)] = wanted
            if len(running) >= 2 * parallel():
                settle()
            if time.monotonic() - said >= SAID_EVERY_SECONDS:
                said = time.monotonic()
                print(f"{outcome.copied} files copied so far, {outcome.size} bytes")
        while running:
            settle()
    return outcome


def copy(source: End, destination: End, wanted: Listed) -> Listed | None:
    """Copy one object; return what it was when read, None if it is gone.

    Raises:
        BotoCoreError, ClientError, OSError: it could not be copied, several times over.
    """
    method = _within if source.store == destination.store else _through
    attempt = 1
    while True:
        try:
            return method(source, destination, wanted)
        except (BotoCoreError, ClientError, OSError) as error:
            if isinstance(error, ClientError) and gone(error):
                return None
            if attempt == ATTEMPTS:
                raise
        time.sleep(attempt)
        attempt += 1


def _through(source: End, destination: End, wanted: Listed) -> Listed:
    """Read and write, part by part. boto3 checks that as much arrived as was announced."""
    answer = source.client.get_object(Bucket=source.bucket, Key=source.key(wanted.key))
    size = int(answer["ContentLength"])
    with answer["Body"] as body:
        destination.client.upload_fileobj(
            body,
            destination.bucket,
            destination.key(wanted.key),
            ExtraArgs={"ContentType": answer["ContentType"]} if answer.get("ContentType") else None,
            Config=_config(size),
        )
    return Listed(wanted.key, size, answer["ETag"])


def _within(source: End, destination: End, wanted: Listed) -> Listed:
    """Have the store copy it: nothing passes through here."""
    head = source.client.head_object(Bucket=source.bucket, Key=source.key(wanted.key))
    size, origin = int(head["ContentLength"]), {"Bucket": source.bucket, "Key": source.key(wanted.key)}
    to = {"Bucket": destination.bucket, "Key": destination.key(wanted.key)}
    if size <= ONE_REQUEST:
        destination.client.copy_object(CopySource=origin, CopySourceIfMatch=head["ETag"], **to)
    else:
        extra = {"CopySourceIfMatch": head["ETag"]}
        destination.client.copy(origin, **to, ExtraArgs=extra, Config=_config(size))
    return Listed(wanted.key, size, head["ETag"])


def _config(size: int) -> TransferConfig:
    # No threads of its own: many objects are under way already.
    part = max(8 * MIB, -(-size // MOST_PARTS))
    return TransferConfig(multipart_threshold=part, multipart_chunksize=part, use_threads=False)
