"""The administrator's chart values for every stack: a mirror registry, tolerations, other amounts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from runwright.errors import ConfigurationError
from runwright.trackingstack.parts import Part
from runwright.trackingstack.quantity import quantity

CHARTS: Final = tuple(part.chart for part in Part)
"""The charts of a stack; each may have defaults."""


def read(path: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """Read the values that lie below what a TrackingStack says, by the chart's name; none without a file.

    Raises:
        ConfigurationError: the file cannot be read or has another shape; the message names file and line.
    """
    if path is None:
        return {}
    try:
        text = path.read_text()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        _refuse(path, line, f"{error.problem or error.context}")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"RUNWRIGHT_STACK_DEFAULTS={path}: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    assert root is not None  # noqa: S101  # what has a value has a node; narrows the type
    if not isinstance(root, yaml.MappingNode):
        _refuse(path, root.start_mark.line + 1, f"must map charts to values; the charts are {', '.join(CHARTS)}")
    for name, node in root.value:
        line = name.start_mark.line + 1
        if name.value not in CHARTS:
            _refuse(path, line, f"{name.value!r} is no chart of a stack: {', '.join(CHARTS)}")
        if not isinstance(node, yaml.MappingNode) and values[name.value] is not None:
            _refuse(path, line, f"{name.value} must hold a map of the chart's values")
        size = ((values[name.value] or {}).get("persistence") or {}).get("size")
        try:
            quantity(str(size or "1"))
        except ValueError as error:
            _refuse(path, line, f"{name.value}.persistence.size: {error}")
    return {name: found or {} for name, found in values.items()}


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise ConfigurationError(f"RUNWRIGHT_STACK_DEFAULTS={path}, line {line}: {problem}")
