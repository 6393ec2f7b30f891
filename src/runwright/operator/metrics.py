"""Prometheus metrics of one operator process."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runwright.ports import Kind

RECONCILE_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90)
"""From one API call to the age at which a worker counts as hung."""
REQUEST_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WRITES: Final = frozenset({"create", "update", "delete", "apply"})


class Metrics:
    """What the parts of the operator record, in a registry of its own.

    The default registry, which has the process's metrics and the trackers', is served beside it.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Histogram(
            "runwright_reconcile_duration_seconds",
            "Duration of reconciles by kind and outcome (ok, conflict, transient, refused, error).",
            ("kind", "outcome"),
            buckets=RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self._retries = Counter(
            "runwright_reconcile_retries",
            "Reconciles that failed and are tried again.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._requests = Histogram(
            "runwright_api_request_duration_seconds",
            "Requests to the API server by verb, resource and HTTP status (0: no answer).",
            ("verb", "resource", "code"),
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._writes = Counter(
            "runwright_api_writes",
            "Writes that the API server carried out.",
            ("verb", "resource"),
            registry=self.registry,
        )
        self._events = Counter(
            "runwright_watch_events",
            "Watch events received by resource and type (NONE: the initial list).",
            ("resource", "type"),
            registry=self.registry,
        )

    def reconciled(self, kind: Kind, outcome: str, seconds: float) -> None:
        """Record the end of a reconcile."""
        self._reconciles.labels(kind.kind, outcome).observe(seconds)
        if outcome != "ok":
            self._retries.labels(kind.kind, outcome).inc()

    def requested(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Record a request to the API server."""
        self._requests.labels(verb, resource, str(code)).observe(seconds)
        # Reviews of our own rights are POSTed, but nothing is stored.
        stored = verb in WRITES and not resource.startswith("selfsubject")
        if stored and 0 < code < HTTPStatus.BAD_REQUEST:
            self._writes.labels(verb, resource).inc()

    def event(self, kind: Kind, event_type: str | None) -> None:
        """Record a watch event."""
        self._events.labels(kind.plural, event_type or "NONE").inc()

    def gauge(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Publish a gauge whose values are read at each scrape."""
        self.registry.register(_Gauge(name, text, label, read))


class _Gauge(Collector):
    """A gauge with one label that asks for its values when it is scraped."""

    def __init__(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._label, self._read = name, text, label, read

    def describe(self) -> Iterable[Metric]:
        """Name the metric without reading it, so that registering does not."""
        yield GaugeMetricFamily(self._name, self._text, labels=(self._label,))

    def collect(self) -> Iterable[Metric]:
        """Read the values."""
        family = GaugeMetricFamily(self._name, self._text, labels=(self._label,))
        for value, number in self._read().items():
            family.add_metric((value,), number)
        yield family
