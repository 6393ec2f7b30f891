"""Who may take the Lease. How it behaves against an API server is tested in tests/contract/operator."""

from typing import Any

import pytest

from runwright.kube.lease import Observed


def lease(holder: str, renewed: str, transitions: int = 0) -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseTransitions": transitions}}


@pytest.mark.parametrize(
    ("holder", "seconds", "free"),
    [("", 0, True), ("me", 0, True), ("other", 0, False), ("other", 15, False), ("other", 15.1, True)],
)
def test_free_when_released_ours_or_unchanged_for_its_duration(holder: str, seconds: float, free: bool) -> None:
    observed = Observed.of(lease(holder, "t0"), 100.0, None)
    assert observed.free("me", 15.0, 100.0 + seconds) is free


def test_a_renewal_starts_the_wait_again() -> None:
    first = Observed.of(lease("other", "t0"), 100.0, None)
    unchanged = Observed.of(lease("other", "t0"), 114.0, first)
    renewed = Observed.of(lease("other", "t1"), 114.0, unchanged)
    assert unchanged.since == 100.0
    assert renewed.since == 114.0
    assert not renewed.free("me", 15.0, 128.0)


def test_the_holders_clock_does_not_matter() -> None:
    observed = Observed.of(lease("other", "1970-01-01T00:00:00Z"), 100.0, None)
    assert not observed.free("me", 15.0, 101.0)


def test_a_lease_without_a_spec_is_free() -> None:
    assert Observed.of({}, 0.0, None).free("me", 15.0, 0.0)
