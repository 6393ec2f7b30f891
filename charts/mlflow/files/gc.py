"""Remove for good what was deleted in MLflow, with its files. Reads PG*, MLFLOW_*, AWS_*, OLDER_THAN."""

# ruff: noqa: INP001 - a program

import os
from typing import Any
from urllib.parse import urlsplit

from mlflow.cli import gc
from mlflow.store.artifact import artifact_repository_registry as registry
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


def straight_from_the_store(artifact_uri: str, **kwargs: Any) -> S3ArtifactRepository:
    """`mlflow gc` would ask the server to delete files, which takes its password, and the server itself."""
    root, path = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].rstrip("/"), urlsplit(artifact_uri).path
    return S3ArtifactRepository(f"{root}/{path.lstrip('/')}", **kwargs)


registry._artifact_repository_registry.register("mlflow-artifacts", straight_from_the_store)  # noqa: SLF001 - no other way in
gc.main(args=["--older-than", os.environ["OLDER_THAN"]], prog_name="mlflow gc")
