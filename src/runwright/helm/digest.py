"""What a release is made of, as one short word: a change of the chart or of the values changes it."""

import hashlib
import json
from pathlib import Path
from typing import Final

from runwright.errors import RefusedError
from runwright.ports import Json

LENGTH: Final = 40
"""Hex digits: 160 bits, and a label's value has room for 63 characters."""


def digest(chart: Path, values: Json) -> str:
    """Hash a chart's files (paths and contents) and the values.

    Raises:
        RefusedError: there is no such chart.
    """
    if not (chart / "Chart.yaml").is_file():
        raise RefusedError(
            f"There is no Helm chart at {chart}: set RUNWRIGHT_CHARTS to the folder of Runwright's charts"
        )
    total = hashlib.sha256()
    for path in sorted(path for path in chart.rglob("*") if path.is_file()):
        content = path.read_bytes()
        total.update(f"{path.relative_to(chart).as_posix()}\0{len(content)}\0".encode() + content)
    total.update(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
    return total.hexdigest()[:LENGTH]
