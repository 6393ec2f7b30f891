"""A real MinIO on loopback."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from tests.cluster import golang
from tests.cluster.shell import eventually
from tests.support.mlflow_server import free_port

KEY: Final = "mlflow"
SECRET: Final = "s3/cr+et %20"
START_SECONDS: Final = 60.0


class ObjectStore:
    """A MinIO process on loopback."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the chart sets, for this store."""
        return {
            **os.environ,
            "BUCKET": "mlflow",
            "WAIT_SECONDS": str(START_SECONDS),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it without waiting."""
        minio = golang.ensure(["minio"])["minio"]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [minio, "server", str(self._directory / "data"), "--address", f"127.0.0.1:{self.port}"],
                env={**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Wait until it serves."""
        assert eventually(self._ready, START_SECONDS), (self._directory / "log").read_text()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(START_SECONDS)

    def _ready(self) -> bool:
        with suppress(URLError), urlopen(f"http://127.0.0.1:{self.port}/minio/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False
