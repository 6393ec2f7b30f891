"""The table of values in each chart's README is made from values.yaml and values.schema.json."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.charts import helm

TABLE = re.compile(
    r"(?<=<!-- values: made by UPDATE_GOLDEN=1 pytest tests/charts -->\n).*(?=<!-- end of values -->)", re.DOTALL
)


@pytest.mark.parametrize("chart", helm.ALL)
def test_the_table_of_values_is_current(chart: str, update_golden: bool) -> None:
    readme = helm.CHARTS / chart / "README.md"
    text = readme.read_text()
    wanted = TABLE.sub(lambda _: _table(chart), text)
    if update_golden:
        readme.write_text(wanted)
    assert len(TABLE.findall(text)) == 1, f"{readme} has no place for the table"
    assert readme.read_text() == wanted, "run UPDATE_GOLDEN=1 pytest tests/charts"


def _table(chart: str) -> str:
    schema = json.loads((helm.CHARTS / chart / "values.schema.json").read_text())
    values = yaml.safe_load((helm.CHARTS / chart / "values.yaml").read_text())
    rows = [f"| `{name}` | {text} | {default} |" for name, text, default in _rows(schema, schema, values, "")]
    return "\n".join(["", "| Value | Meaning | Default |", "|---|---|---|", *rows, "", ""])


def _rows(root: Mapping[str, Any], node: Mapping[str, Any], values: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield a row per value that can be set; objects that are free maps or Kubernetes' own count as one."""
    for name, child in node["properties"].items():
        if name not in values:
            continue
        full = f"{path}{name}"
        resolved = root["definitions"][child["allOf"][0]["$ref"].rpartition("/")[2]] if "allOf" in child else child
        value = values[name]
        if isinstance(value, dict) and value and "properties" in resolved:
            yield from _rows(root, resolved, value, f"{full}.")
        else:
            yield full, _cell(child.get("description", "")), f"`{_cell(json.dumps(value))}`"


def _cell(text: str) -> str:
    assert text, "a value without a description"
    return text.replace("|", "\\|")
