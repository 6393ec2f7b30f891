"""Conversions between MLflow's JSON and our values."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.ports import Metric, TrackedRun
from runwright.tracking import convert

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds


@given(MOMENTS)
def test_times_survive_to_the_millisecond(moment: datetime) -> None:
    assert abs(convert.moment_of(convert.milliseconds(moment)) - moment) <= timedelta(milliseconds=1)


@given(st.integers())
def test_no_timestamp_that_a_user_logs_breaks_us(ms: int) -> None:
    assert convert.moment_of(ms).tzinfo is UTC


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Infinity", math.inf),
        (1.7976931348623157e308, math.inf),
        (-1.7976931348623157e308, -math.inf),
        (0, 0.0),
        (2.5, 2.5),
    ],
)
def test_metric_values(raw: Any, value: float) -> None:
    assert convert.metric_value(raw) == value


@pytest.mark.parametrize("raw", ["NaN", None, math.nan])
def test_what_is_no_number_is_nan(raw: Any) -> None:
    assert math.isnan(convert.metric_value(raw))


@given(st.floats().filter(lambda value: abs(value) != convert.LARGEST))
def test_every_float_arrives_as_it_was_logged(value: float) -> None:
    stored = math.copysign(convert.LARGEST, value) if math.isinf(value) else value
    wire = json.loads(json.dumps("NaN" if math.isnan(stored) else stored))
    assert repr(convert.metric_value(wire)) == repr(math.fabs(value) if math.isnan(value) else value)


def run_json(**info: Any) -> dict[str, Any]:
    return {"info": {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active", **info}}


def test_a_run_without_data_is_empty() -> None:
    stored = convert.stored_run(run_json())
    assert stored.run == TrackedRun(run_id="r", experiment_id="1", status="RUNNING")


@pytest.mark.parametrize(
    "raw", [{}, {"info": {}}, {"info": None}, run_json(status="EXPLODED"), run_json(start_time="x")]
)
def test_what_is_no_run_is_refused(raw: Any) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        convert.stored_run(raw)


METRICS = st.dictionaries(
    TEXT, st.builds(Metric, name=TEXT, value=st.floats(), step=st.integers(0, 9), timestamp=MOMENTS), max_size=3
)
RUNS = st.builds(
    TrackedRun,
    run_id=st.just("r"),
    experiment_id=st.just("1"),
    status=st.sampled_from(["RUNNING", "FAILED"]),
    deleted=st.booleans(),
    tags=st.dictionaries(TEXT, TEXT, max_size=2),
    metrics=METRICS,
)


@given(RUNS, RUNS)
def test_signatures_are_equal_exactly_for_equal_runs_nan_included(one: TrackedRun, two: TrackedRun) -> None:
    same = convert.signature(one) == convert.signature(two)
    text = {
        repr((r.status, r.deleted, sorted(r.tags.items()), sorted(map(repr, r.metrics.values())))) for r in (one, two)
    }
    assert same == (len(text) == 1)


@given(st.dictionaries(TEXT, st.text(max_size=3000), max_size=250))
def test_batches_keep_everything_in_order_within_the_limits(values: dict[str, str]) -> None:
    batches = list(convert.batches(values))
    assert [item for batch in batches for item in batch.items()] == list(values.items())
    assert all(1 <= len(batch) <= convert.BATCH_PARAMS for batch in batches)


def test_batches_are_cut_by_bytes_too() -> None:
    values = {str(number): "\N{SNOWMAN}" * 6000 for number in range(100)}
    batches = list(convert.batches(values))
    assert len(batches) == 3
    for batch in batches:
        body = json.dumps({"run_id": "0" * 32, "params": convert.entries(batch)}, ensure_ascii=False).encode()
        assert len(body) < 1_000_000


@given(st.lists(st.integers(), max_size=50), st.integers(1, 10))
def test_chunks_keep_everything_in_order(items: list[int], size: int) -> None:
    chunks = list(convert.chunks(items, size))
    assert [item for chunk in chunks for item in chunk] == items
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(chunks)


@given(TEXT)
def test_quoting_never_lets_a_value_end_its_literal(value: str) -> None:
    if "'" in value and '"' in value:
        with pytest.raises(ValueError, match="both sorts"):
            convert.quoted(value)
    else:
        literal = convert.quoted(value)
        assert literal[1:-1] == value
        assert literal[0] == literal[-1]
        assert literal[0] not in value
