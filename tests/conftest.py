"""Which tests may run side by side: those of one node are in one lane, whatever the number of workers."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep end-to-end tests of the same node in one worker (`pytest -n 2 --dist loadgroup`)."""
    for item in items:
        if item.get_closest_marker("e2e"):
            lane = "second-node" if "cluster" in item.path.parts else "node"
            item.add_marker(pytest.mark.xdist_group(lane))
