"""One API server for all tests of this folder; each test makes its own namespace."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.support.installed import install


@dataclass(frozen=True)
class Installed:
    """An API server with Runwright's CRDs and rights."""

    control_plane: ControlPlane
    kubeconfig: Path
    """Acts as the operator's ServiceAccount."""


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    with ControlPlane() as control_plane:
        yield Installed(control_plane, install(control_plane))
