"""Which tests may run side by side, and that no property test is judged by the clock."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect: without this an example that took 200 ms fails its test.
settings.register_profile("runwright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("runwright")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep end-to-end tests of the same node in one worker (`pytest -n 2 --dist loadgroup`)."""
    for item in items:
        if item.get_closest_marker("e2e"):
            lane = "second-node" if "cluster" in item.path.parts else "node"
            item.add_marker(pytest.mark.xdist_group(lane))
