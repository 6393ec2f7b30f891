"""The administrator's chart values for every stack: a mirror registry, tolerations, other amounts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from runwright.errors import ConfigurationError
from runwright.ports import Json

CHARTS: Final = ("postgresql", "object-store", "mlflow")
"""The charts of a stack; each may have defaults."""


def read(path: Path | None) -> Mapping[str, Json]:
    """Read the values that lie below what a TrackingStack says, by the chart's name; none without a file.

    Raises:
        ConfigurationError: the file cannot be read, is no YAML, or names something that is no chart of a stack.
    """
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"RUNWRIGHT_STACK_DEFAULTS={path}: {' '.join(str(error).split())}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"RUNWRIGHT_STACK_DEFAULTS={path}: must map charts ({', '.join(CHARTS)}) to values")
    for chart, values in found.items():
        if chart not in CHARTS:
            raise ConfigurationError(
                f"RUNWRIGHT_STACK_DEFAULTS={path}: {chart!r} is no chart of a stack: {', '.join(CHARTS)}"
            )
        if not isinstance(values, dict):
            raise ConfigurationError(f"RUNWRIGHT_STACK_DEFAULTS={path}: {chart} must hold a map of the chart's values")
    return found
