"""An S3 artifact store whose files pass through the tracking server, both ways.

An MLflow 3.17 server on S3 tells clients to fetch files, and to send large ones, straight from and to S3 by
presigned URLs. Clients that do not reach the store (a laptop behind a port-forward, pods under a NetworkPolicy) then
hang in retries for minutes. The server has no setting against it: it asks whether the repository's class can presign.
So this one contains MLflow's own class instead of being one.
"""

# ruff: noqa: INP001 - a module that the pod mounts

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

if TYPE_CHECKING:
    from mlflow.entities import FileInfo


class ProxiedS3ArtifactRepository(ArtifactRepository):  # type: ignore[misc]  # MLflow has no types
    """S3 without presigned URLs."""

    def __init__(self, artifact_uri: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(artifact_uri, *args, **kwargs)
        self._s3 = S3ArtifactRepository(artifact_uri, *args, **kwargs)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store a file."""
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store a folder."""
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """List a folder."""
        return list(self._s3.list_artifacts(path))

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or folder."""
        self._s3.delete_artifacts(artifact_path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._s3._download_file(remote_file_path, local_path)  # noqa: SLF001 - the method every repository has
