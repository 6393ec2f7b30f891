"""One measurement: submit N objects of one kind and watch until every one is complete."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.bench.bench import Bench
from tests.bench.client import METADATA_ONLY, Watch
from tests.bench.submit import Order, Sent, submitter
from tests.bench.usage import Usage, is_write
from tests.bench.workload import Workload
from tests.cluster.errors import ClusterError
from tests.cluster.process import identify

_DEADLINE_SECONDS = 900.0


@dataclass(frozen=True)
class Spread:
    """A distribution in seconds."""

    p50: float
    p99: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Nearest rank, as in the peers' benchmark."""
        ordered = sorted(values)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)

        return cls(at(0.5), at(0.99), round(ordered[-1], 4))


@dataclass(frozen=True)
class Result:
    """What one measurement found. Seconds count from the first POST; per object means divided by `count`."""

    workload: str
    count: int
    rate: float
    submit_s: float
    all_pods_s: float
    all_complete_s: float
    per_second: float
    created_to_pod: Spread
    created_to_complete: Spread
    writes: Mapping[str, float]
    """Per object, by verb and resource, of everybody; leases are left out."""
    operator_requests: Mapping[str, float]
    """Per object, by verb and resource, of the operator by its own account, reads included."""
    cpu_ms: Mapping[str, float]
    """Per object, by process, over the span."""
    load_before: float = 0.0
    """The machine's load average over the minute before."""
    span_s: float = 0.0
    """From the first POST to the end of what is measured after the last completion."""
    peak_mib: Mapping[str, float] = field(default_factory=dict)
    """Largest resident set of each process during the span."""

    @property
    def writes_per_object(self) -> float:
        """Mutating requests of everybody."""
        return round(sum(self.writes.values()), 2)

    @property
    def operator_writes_per_object(self) -> float:
        """Mutating requests of the operator."""
        return round(sum(value for name, value in self.operator_requests.items() if is_write(name)), 2)

    @property
    def operator_reads_per_object(self) -> float:
        """GETs and LISTs of the operator."""
        return round(sum(value for name, value in self.operator_requests.items() if not is_write(name)), 2)

    @property
    def cpu_ms_per_object(self) -> float:
        """CPU of all processes."""
        return round(sum(self.cpu_ms.values()), 1)


@dataclass
class _Seen:
    """Arrival times on the watches; each dict is written by one thread."""

    workload: Workload
    created: dict[str, float] = field(default_factory=dict)
    pods: dict[str, float] = field(default_factory=dict)
    complete: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def saw_object(self, arrived: float, _: str, found: dict[str, Any]) -> None:
        name = found["metadata"]["name"]
        self.created.setdefault(name, arrived)
        for condition in found.get("status", {}).get("conditions") or ():
            if condition["status"] != "True":
                continue
            if condition["type"] == self.workload.done:
                self.complete.setdefault(name, arrived)
            elif condition["type"] == "Failed":
                self.failed.setdefault(name, f"{condition.get('reason')}: {condition.get('message')}")

    def saw_pod(self, arrived: float, event: str, found: dict[str, Any]) -> None:
        name = (found["metadata"].get("labels") or {}).get(self.workload.pod_label)
        if name and event == "ADDED":
            self.pods.setdefault(name, arrived)


def measure(bench: Bench, workload: Workload, count: int, rate: float = 0.0, *, settle: float) -> Result:
    """Run `count` objects of a kind to their end in a namespace of their own.

    Args:
        bench: The measured system.
        workload: Which kind.
        count: How many.
        rate: Objects submitted per second; 0: all at once.
        settle: Seconds measured after the last completion: what is written late (Events, the last status) belongs to
            the objects too.

    Raises:
        ClusterError: An object was refused or failed, a watch broke, or it took more than 15 minutes.
    """
    namespace = bench.new_namespace(f"bench-{workload.name}")
    seen = _Seen(workload)
    watches = (
        Watch(bench.access, workload.path(namespace), seen.saw_object),
        Watch(bench.access, f"/api/v1/namespaces/{namespace}/pods", seen.saw_pod, METADATA_ONLY),
    )
    order = Order(workload.name, namespace, tuple(f"run-{number:05d}" for number in range(count)), rate)
    connection = bench.access.connect()
    load = round(os.getloadavg()[0], 2)
    try:
        with submitter(bench.access, order) as ready:
            for group in bench.groups.values():
                group.forget_peak()
            before, begun = Usage.now(bench.groups, connection, bench.operator.port), time.monotonic()
            sent = ready.go(_DEADLINE_SECONDS)
            _wait(bench, seen, watches, count)
        time.sleep(settle)  # not a wait for a condition: it is part of the span that is measured
        used, span = Usage.now(bench.groups, connection, bench.operator.port).since(before), time.monotonic() - begun
        peaks = {name: group.peak_mib() for name, group in bench.groups.items()}
    finally:
        for watch in watches:
            watch.stop()
        connection.close()
    bench.delete_namespace(namespace)
    return replace(_result(seen, sent, used, order), load_before=load, span_s=round(span, 2), peak_mib=peaks)


def _wait(bench: Bench, seen: _Seen, watches: Sequence[Watch], count: int) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while len(seen.complete) < count or len(seen.pods) < count:
        if seen.failed:
            name, why = next(iter(seen.failed.items()))
            raise ClusterError(f"{len(seen.failed)} {seen.workload.plural} failed, {name} first: {why}")
        if broken := [watch.error for watch in watches if watch.error]:
            raise ClusterError(f"a watch broke: {broken[0]}")
        if identify(bench.operator.pid) is None:
            raise ClusterError(f"the operator ended:\n{bench.operator.tail()}", "run it on an idle machine")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"after {_DEADLINE_SECONDS:.0f} s {len(seen.complete)} of {count} {seen.workload.plural} are complete"
            )
        time.sleep(0.05)  # between two looks at the condition


def _result(seen: _Seen, sent: Sent, used: Usage, order: Order) -> Result:
    count = len(order.names)

    def each(values: Mapping[str, float] | Counter[str], factor: float = 1.0) -> dict[str, float]:
        return {name: round(value * factor / count, 3) for name, value in sorted(values.items())}

    finished = max(seen.complete.values()) - sent.first
    return Result(
        workload=order.workload,
        count=count,
        rate=order.rate,
        submit_s=round(sent.last - sent.first, 2),
        all_pods_s=round(max(seen.pods.values()) - sent.first, 2),
        all_complete_s=round(finished, 2),
        per_second=round(count / finished, 1),
        created_to_pod=Spread.of([seen.pods[name] - seen.created[name] for name in order.names]),
        created_to_complete=Spread.of([seen.complete[name] - seen.created[name] for name in order.names]),
        writes=each(used.writes),
        operator_requests=each(used.by_operator),
        cpu_ms=each(used.cpu, 1000),
    )
