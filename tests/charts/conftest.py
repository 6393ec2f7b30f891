"""Fixtures of the chart tests."""

import os

import pytest


@pytest.fixture(scope="session")
def update_golden() -> bool:
    """Whether files that are made from others are written anew instead of compared: UPDATE_GOLDEN=1."""
    return os.environ.get("UPDATE_GOLDEN") == "1"
