"""How long the operator takes to start when many finished TrainingRuns, their Jobs and pods are there."""

import time
from dataclasses import dataclass
from typing import Any

from tests.bench.bench import OPERATOR, Bench
from tests.bench.client import METADATA_ONLY, Watch
from tests.bench.workload import JOB, TRAINING_RUN
from tests.cluster.shell import wait_until

_PROBE_SECONDS = 0.02


@dataclass(frozen=True)
class Startup:
    """One start after an orderly stop. Seconds count from the start of the process if nothing else is said."""

    finished: int
    """TrainingRuns that are over, each with its finished Job and pod."""
    load_before: float
    ready_s: float
    """Until /readyz answers 200."""
    waiting_run_s: float
    """Until the Job of a TrainingRun that was created before the start."""
    next_run_s: float
    """From the creation of a TrainingRun after that to its Job."""
    cpu_s: float
    resident_mib: float


def start_again(bench: Bench, finished: int, load: float) -> Startup:
    """Stop the operator (SIGTERM), create a TrainingRun, start the operator and watch.

    Raises:
        ClusterError: It was not ready, or made no Job, within 120 s.
    """
    namespace = bench.new_namespace("bench-startup")
    jobs: dict[str, float] = {}
    created: dict[str, float] = {}

    def saw_job(arrived: float, event: str, found: dict[str, Any]) -> None:
        if event == "ADDED":
            jobs.setdefault(found["metadata"]["labels"]["runwright.dev/run"], arrived)

    def saw_run(arrived: float, event: str, found: dict[str, Any]) -> None:
        if event == "ADDED":
            created.setdefault(found["metadata"]["name"], arrived)

    watches = (
        Watch(bench.access, JOB.path(namespace), saw_job, METADATA_ONLY),
        Watch(bench.access, TRAINING_RUN.path(namespace), saw_run, METADATA_ONLY),
    )
    try:
        bench.operator.stop()
        _create(bench, namespace, "waiting")
        begun = time.monotonic()
        bench.operator.start()
        while bench.operator.probe("readyz")[0] != 200:
            assert time.monotonic() - begun < 120, bench.operator.tail()
            time.sleep(_PROBE_SECONDS)  # between two looks at the condition
        ready = time.monotonic()
        wait_until(lambda: "waiting" in jobs, 120, "the Job of the waiting TrainingRun")
        group = bench.groups[OPERATOR]
        cpu, resident = group.cpu_seconds(), group.resident_mib()
        _create(bench, namespace, "next")
        wait_until(lambda: "next" in jobs and "next" in created, 120, "the Job of the next TrainingRun")
    finally:
        for watch in watches:
            watch.stop()
    bench.delete_namespace(namespace)
    return Startup(
        finished=finished,
        load_before=round(load, 2),
        ready_s=round(ready - begun, 2),
        waiting_run_s=round(jobs["waiting"] - begun, 2),
        next_run_s=round(jobs["next"] - created["next"], 3),
        cpu_s=round(cpu, 2),
        resident_mib=resident,
    )


def _create(bench: Bench, namespace: str, name: str) -> None:
    bench.control_plane.client.request("POST", TRAINING_RUN.path(namespace), TRAINING_RUN.make(name))
