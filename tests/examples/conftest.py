"""Fixtures of the example's tests."""

import os
import subprocess
import sys

import pytest

from tests.support.mlflow_fixtures import mlflow_server

__all__ = ["mlflow_server"]


@pytest.fixture(scope="session")
def torch_python() -> str:
    """An interpreter that has what the trainer image has: $RUNWRIGHT_TORCH_PYTHON, else this one."""
    python = os.environ.get("RUNWRIGHT_TORCH_PYTHON", sys.executable)
    asked = [python, "-c", "import torch, torchvision, pandas, mlflow"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.fail(
            f"{python} cannot run the example: {answer.stderr.strip().splitlines()[-1]}. Install torch, "
            "torchvision, pandas and mlflow-skinny, or set RUNWRIGHT_TORCH_PYTHON to a Python that has them"
        )
    return python
