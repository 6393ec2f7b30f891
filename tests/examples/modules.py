"""The example's own modules, which belong to no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "mnist"


def load(name: str) -> ModuleType:
    """Import a module of the example that needs the standard library only."""
    qualified = f"examples_mnist_{name}"
    if qualified not in sys.modules:
        spec = importlib.util.spec_from_file_location(qualified, EXAMPLE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[qualified]
