"""What the charts render: compared with golden files, the same each time, and with no value that does nothing."""

import copy
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import helm

pytestmark = pytest.mark.contract

GOLDEN = Path(__file__).parent / "golden"
UNORDERED_SOURCES = re.compile(r"\b(lookup|rand\w*|uuidv4|now|genCA|genSelfSignedCert|genSignedCert|getHostByName)\b")


@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
@pytest.mark.parametrize("chart", helm.ALL)
def test_golden(chart: str, full: bool, update_golden: bool) -> None:
    # The CRDs are compared with their own source elsewhere.
    rendered = helm.template(chart, {"crds": {"install": False}} if chart == "runwright" else {}, full=full)
    text = yaml.safe_dump_all(helm.manifests(rendered), width=1000)
    golden = GOLDEN / f"{chart}-{'full' if full else 'default'}.yaml"
    if update_golden:
        golden.write_text(text)
    assert text == golden.read_text(), f"{golden.name} differs; if that is meant: UPDATE_GOLDEN=1 pytest tests/charts"


@pytest.mark.parametrize("chart", helm.STACK)
def test_golden_of_a_whole_stack(chart: str, update_golden: bool) -> None:
    text = yaml.safe_dump_all(helm.manifests(helm.of_stack(chart)), width=1000)
    golden = GOLDEN / f"stack-{chart}.yaml"
    if update_golden:
        golden.write_text(text)
    assert text == golden.read_text(), f"{golden.name} differs; if that is meant: UPDATE_GOLDEN=1 pytest tests/charts"


@pytest.mark.parametrize("chart", helm.ALL)
def test_lint(chart: str) -> None:
    for values in ([], ["--values", str(helm.VALUES / f"{chart}.yaml")]):
        result = helm.run("lint", "--strict", str(helm.CHARTS / chart), *values)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("chart", helm.ALL)
def test_two_renderings_are_equal(chart: str) -> None:
    assert helm.template(chart, full=True) == helm.template(chart, full=True)


@pytest.mark.parametrize("chart", helm.ALL)
def test_templates_ask_neither_the_cluster_nor_chance_nor_the_clock(chart: str) -> None:
    # `helm template` answers a lookup with nothing, so that a rendering would not show it.
    for template in (path for path in (helm.CHARTS / chart / "templates").rglob("*") if path.is_file()):
        for action in re.findall(r"{{(?!-?\s*/\*).*?}}", template.read_text(), flags=re.DOTALL):
            assert not UNORDERED_SOURCES.search(re.sub(r'"[^"]*"', "", action)), f"{template.name}: {action}"


@pytest.mark.parametrize("chart", helm.STACK)
@pytest.mark.parametrize("full", [False, True], ids=["default", "full"])
def test_the_stack_needs_no_right_but_to_make_plain_objects(chart: str, full: bool) -> None:
    allowed = {"ConfigMap", "CronJob", "Deployment", "Ingress", "NetworkPolicy", "Service", "StatefulSet"}
    for manifest in helm.objects(chart, full=full):
        assert manifest["kind"] in allowed
        assert manifest["metadata"]["namespace"] == helm.NAMESPACE
        assert "helm.sh/hook" not in manifest["metadata"].get("annotations", {})


def test_the_shared_helpers_are_the_same_in_every_chart() -> None:
    texts = {(helm.CHARTS / chart / "templates" / "_common.tpl").read_text() for chart in helm.ALL}
    assert len(texts) == 1


@pytest.mark.parametrize("chart", helm.ALL)
def test_the_full_values_differ_from_the_defaults_everywhere(chart: str) -> None:
    defaults, full = _values(chart), yaml.safe_load((helm.VALUES / f"{chart}.yaml").read_text())
    same = [path for path, value in _leaves(defaults) if _at(full, path) == value]
    # What guards a whole object keeps it; the next test switches these off.
    switches = {"enabled", "create", "createBucket", "aggregateToDefaultRoles", "stacks"}
    assert [path for path in same if path[-1] not in switches] == []


@pytest.mark.parametrize("chart", helm.ALL)
def test_every_value_changes_something(chart: str) -> None:
    full = yaml.safe_load((helm.VALUES / f"{chart}.yaml").read_text())
    before = helm.template(chart, full)
    # With create it can only be the release's own.
    fixed = {("defaultStack", "namespace")} if chart == "runwright" else set()
    cases = [(path, _with(full, path, value)) for path, value in _leaves(_values(chart)) if path not in fixed]
    with ThreadPoolExecutor(2) as pool:
        renderings = pool.map(lambda case: helm.attempt(chart, case[1]), cases)
        dead = [".".join(path) for (path, _), after in zip(cases, renderings, strict=True) if after == before]
    assert dead == []


def _values(chart: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = yaml.safe_load((helm.CHARTS / chart / "values.yaml").read_text())
    return values


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _with(values: Mapping[str, Any], path: tuple[str, ...], default: Any) -> Mapping[str, Any]:
    """Set one value back to its default, or where it stands at its default, to the opposite."""
    changed = copy.deepcopy(dict(values))
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = (not default) if parent.get(path[-1]) is default and isinstance(default, bool) else default
    if parent[path[-1]] == {}:
        parent[path[-1]] = None  # helm merges maps: null removes what the file gave
    return changed
