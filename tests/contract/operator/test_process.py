"""The operator process against a real API server: start, stop, the Lease, what it says when it cannot work."""

from pathlib import Path

import pytest

from tests.contract.operator.conftest import Installed
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

LEASE = "/apis/coordination.k8s.io/v1/namespaces/runwright-system/leases/runwright-operator"
OFF = {"RUNWRIGHT_TRACKING": "off"}


def test_starts_works_and_releases_the_lease_on_sigterm(installed: Installed, tmp_path: Path) -> None:
    with OperatorProcess(installed.kubeconfig, tmp_path, OFF) as operator:
        holder = installed.control_plane.client.request("GET", LEASE)["spec"]["holderIdentity"]
        assert holder == f"operator-{operator.port}"
        assert operator.probe("healthz") == (200, {"status": "ok", "problems": {}})
        assert operator.stop() == 0
    assert installed.control_plane.client.request("GET", LEASE)["spec"]["holderIdentity"] == ""
    assert not [line for line in operator.logged() if line["level"] in ("warning", "error", "critical")]
