"""Prometheus metrics of the tracking side."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter("runwright_tracking_requests_total", "Requests to tracking servers.", ["call", "outcome"])
"""outcome: ok, refused, unavailable, or rejected (circuit open, nothing sent)."""
SECONDS: Final = Histogram(
    "runwright_tracking_request_seconds",
    "Time to a tracking server's answer.",
    ["call"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
BREAKER_OPEN: Final = Gauge(
    "runwright_tracking_breaker_open", "1 while a tracking server is considered away.", ["server"]
)
FOLLOWED: Final = Gauge("runwright_tracking_followed_runs", "Runs whose metrics are polled.", ["server"])
REWRITTEN: Final = Counter(
    "runwright_tracking_states_rewritten_total", "Terminal states written again: a dying script had changed them."
)
ORPHANS: Final = Counter(
    "runwright_tracking_orphans_closed_total", "RUNNING MLflow runs closed by the orphan sweeper.", ["status"]
)
SWEEPS: Final = Counter("runwright_tracking_sweeps_total", "Rounds of the orphan sweeper.", ["outcome"])


def forget(server: str) -> None:
    """Take a server out of the series that have its name."""
    for gauge in (BREAKER_OPEN, FOLLOWED):
        gauge.remove(server)
