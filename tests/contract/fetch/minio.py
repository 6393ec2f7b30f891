"""A real MinIO on loopback."""

import os
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import boto3
from botocore.config import Config

from tests.cluster import golang
from tests.cluster.shell import eventually
from tests.support.mlflow_server import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY, SECRET = "reader-key", "s3/cr+et %20$HOME"
START_SECONDS = 60.0


class Minio:
    """A MinIO process; with a certificate it speaks TLS."""

    def __init__(self, directory: Path, *, certificate: tuple[Path, Path] | None = None) -> None:
        self.port = free_port()
        self._directory = directory
        self._tls = certificate is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._certificates = directory / "certs"
        self._certificates.mkdir()
        if certificate is not None:
            for source, name in zip(certificate, ("public.crt", "private.key"), strict=True):
                (self._certificates / name).write_bytes(source.read_bytes())
            self.verify: str | bool = False
        else:
            self.verify = True

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def client(self) -> "S3Client":
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            verify=self.verify,
            config=Config(s3={"addressing_style": "path"}),
        )
        return client

    def bucket(self, objects: Mapping[str, bytes] | None = None) -> str:
        """Make a bucket with these objects; returns its name."""
        name = f"data-{uuid.uuid4().hex[:12]}"
        client = self.client
        client.create_bucket(Bucket=name)
        for key, content in (objects or {}).items():
            client.put_object(Bucket=name, Key=key, Body=content)
        return name

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def dataset(self, uri: str, mount: Path, **more: Any) -> dict[str, Any]:
        return {"name": "d", "uri": uri, "endpoint": self.endpoint, "mount_path": str(mount), **more}

    def __enter__(self) -> Self:
        program = golang.find_or_ensure("minio")
        command: list[str | Path] = [
            program,
            "server",
            str(self._directory / "data"),
            "--address",
            f"127.0.0.1:{self.port}",
        ]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--certs-dir", str(self._certificates)],
                env={**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if self._tls:
            assert eventually(self._listening, START_SECONDS), self.log
        else:
            assert eventually(self._ready, START_SECONDS), self.log
        return self

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def _ready(self) -> bool:
        with suppress(URLError, OSError), urlopen(f"{self.endpoint}/minio/health/ready", timeout=5) as answer:  # noqa: S310  # loopback
            return bool(answer.status == 200)
        return False

    def _listening(self) -> bool:
        with suppress(Exception):
            self.client.list_buckets()
            return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(START_SECONDS)
