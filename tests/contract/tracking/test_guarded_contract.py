"""The same contract with a server that asks for a login and speaks TLS."""

import pytest

from tests.contract.tracking.test_closing import *  # noqa: F403 -- its tests, run again
from tests.contract.tracking.test_runs import *  # noqa: F403 -- likewise
from tests.contract.tracking.test_sweeping import *  # noqa: F403 -- likewise
from tests.support.mlflow_guarded import GuardedServer


@pytest.fixture
def mlflow_server(guarded_server: GuardedServer) -> GuardedServer:
    return guarded_server
