"""Fixtures of the launcher's tests: a folder that stands for a pod, a server that stands for the artifact proxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    found = Pod(tmp_path)
    yield found
    found.close()


@pytest.fixture
def server() -> Iterator[ArtifactServer]:
    with ArtifactServer() as found:
        yield found


@pytest.fixture
def tracked(pod: Pod, server: ArtifactServer) -> Pod:
    """A pod whose artifacts go to `server`."""
    pod.env |= server.env
    return pod
