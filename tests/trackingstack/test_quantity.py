from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.trackingstack.quantity import quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8Gi", 8 * 2**30),
        ("8G", 8 * 10**9),
        ("1.5Ti", 3 * 2**39),
        ("500m", Decimal("0.5")),
        ("1e3", 1000),
        ("12E3", 12000),
        ("12E", 12 * 10**18),
        ("2Ei", 2**61),
        (".5k", 500),
        ("3.", 3),
        ("1073741824", 2**30),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: str, expected: int) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "8 GB", "NaN", "Infinity", "8gi"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@given(st.integers(0, 10**6))
def test_units_are_ordered(number: int) -> None:
    assert quantity(f"{number}Mi") >= quantity(f"{number}M") >= quantity(f"{number}Ki")
