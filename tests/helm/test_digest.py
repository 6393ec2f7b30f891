"""What changes the digest of a release, and what does not."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import RefusedError
from runwright.helm.digest import digest

CHARTS = Path(__file__).parents[2] / "charts"
VALUES = {"a": {"b": [1, 2], "c": "é"}, "d": None}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    for name in ("Chart.yaml", "values.yaml", "templates/a.yaml", "templates/deep/b.yaml"):
        path = tmp_path / "chart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "chart"


def test_it_is_a_labels_value(chart: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", digest(chart, VALUES))


@pytest.mark.parametrize("name", ["Chart.yaml", "values.yaml", "templates/deep/b.yaml", "templates/new.yaml"])
def test_every_file_counts(chart: Path, name: str) -> None:
    before = digest(chart, VALUES)
    (chart / name).write_text("changed")
    assert digest(chart, VALUES) != before


def test_names_count_and_contents_do_not_run_together(chart: Path) -> None:
    before = digest(chart, VALUES)
    (chart / "templates/a.yaml").rename(chart / "templates/c.yaml")
    moved = digest(chart, VALUES)
    assert moved != before
    (chart / "templates/c.yaml").write_text("")
    (chart / "values.yaml").write_text("values.yaml" + "templates/a.yaml")
    assert digest(chart, VALUES) not in {before, moved}


def test_where_the_chart_lies_does_not_count(chart: Path) -> None:
    before = digest(chart, VALUES)
    assert digest(chart.rename(chart.parent / "elsewhere"), VALUES) == before


@given(st.permutations([("a", 1), ("b", {"y": 1, "x": 2}), ("c", [1, 2])]))
def test_the_order_of_keys_does_not_count(items: list[tuple[str, object]]) -> None:
    ordered = {"a": 1, "b": {"x": 2, "y": 1}, "c": [1, 2]}
    assert digest(CHARTS / "postgresql", dict(items)) == digest(CHARTS / "postgresql", ordered)


@pytest.mark.parametrize("other", [{}, {"a": 1}, {"a": "1 "}, {"a": None}, {"a": ["1"]}, {"b": "1"}])
def test_every_value_counts(other: dict[str, object]) -> None:
    assert digest(CHARTS / "mlflow", other) != digest(CHARTS / "mlflow", {"a": "1"})


def test_each_chart_has_its_own() -> None:
    assert len({digest(CHARTS / name, VALUES) for name in ("postgresql", "object-store", "mlflow")}) == 3


def test_a_chart_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="RUNWRIGHT_CHARTS"):
        digest(tmp_path, VALUES)
