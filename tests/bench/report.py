"""The report: what was measured where, as values for JSON and as Markdown tables."""

import os
import platform
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.bench import OPERATOR, Tracking
from tests.bench.measure import Result
from tests.bench.startup import Startup
from tests.bench.workload import JOB, TRAINING_RUN
from tests.cluster.golang import KUBERNETES_VERSION
from tests.cluster.shell import run

_GIB = 1024**3


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    processor: str
    processors: int
    memory_gib: float
    system: str
    python: str
    kubernetes: str
    commit: str

    @classmethod
    def this(cls) -> "Machine":
        """The machine this runs on, and the commit that is checked out ("+": with changes)."""
        cpuinfo = Path("/proc/cpuinfo")
        model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
        root = Path(__file__).parents[2]
        commit = run(["git", "rev-parse", "--short", "HEAD"], cwd=root, check=False).stdout.strip()
        changed = run(["git", "status", "--porcelain", "--", "src", "charts"], cwd=root, check=False).stdout.strip()
        return cls(
            model[1] if model else platform.machine(),
            os.cpu_count() or 0,
            round(memory, 1),
            platform.system() + " " + platform.release(),
            platform.python_version(),
            KUBERNETES_VERSION,
            commit + ("+" if changed else ""),
        )


@dataclass(frozen=True)
class Report:
    """Everything one command measured."""

    machine: Machine
    tracking: Tracking
    results: tuple[Result, ...]
    """Each round of each scenario, in the order of time."""
    startups: tuple[Startup, ...]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        per_object = (
            "writes_per_object",
            "operator_writes_per_object",
            "operator_reads_per_object",
            "cpu_ms_per_object",
        )
        results = [asdict(one) | {name: getattr(one, name) for name in per_object} for one in self.results]
        return asdict(replace(self, results=())) | {"results": results}

    def as_markdown(self) -> str:
        """Tables for people."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        m = self.machine
        yield f"{m.processors} processors ({m.processor}), {m.memory_gib} GiB, {m.system}; Kubernetes {m.kubernetes},"
        yield f"Python {m.python}, Runwright at {m.commit or 'no commit'}, tracking {self.tracking}."
        for count, rate in dict.fromkeys((one.count, one.rate) for one in self.results):
            yield from self._scenario(count, rate)
        if self.startups:
            yield from _startups(self.startups)

    def _scenario(self, count: int, rate: float) -> Iterator[str]:
        def rounds(name: str) -> list[Result]:
            return [one for one in self.results if (one.workload, one.count, one.rate) == (name, count, rate)]

        jobs, runs = rounds(JOB.name), rounds(TRAINING_RUN.name)
        loads = sorted(one.load_before for one in (*jobs, *runs))
        yield ""
        pace = f"{rate:g} per second" if rate else "all at once"
        yield f"### {count} {pace}, rounds: {len(runs)}, load average before each: {loads[0]:g} to {loads[-1]:g}"
        yield ""
        yield "| | Jobs | TrainingRuns | ratio |"
        yield "|---|--:|--:|--:|"
        for title, read, digits in _ROWS:
            yield _row(title, _median(jobs, read), _median(runs, read), digits)
        for name in runs[0].cpu_ms:
            yield _row(f"CPU per object, {name}, ms", _median(jobs, _cpu(name)), _median(runs, _cpu(name)), 1)
        yield _row("peak memory of the operator, MiB", None, _median(runs, lambda one: one.peak_mib[OPERATOR]), 1)


_ROWS: tuple[tuple[str, Callable[[Result], float], int], ...] = (
    ("created to pod created, p50, s", lambda one: one.created_to_pod.p50, 3),
    ("created to pod created, p99, s", lambda one: one.created_to_pod.p99, 3),
    ("created to complete, p50, s", lambda one: one.created_to_complete.p50, 2),
    ("created to complete, p99, s", lambda one: one.created_to_complete.p99, 2),
    ("all complete after, s", lambda one: one.all_complete_s, 2),
    ("complete per second", lambda one: one.per_second, 1),
    ("mutating requests per object, everybody", lambda one: one.writes_per_object, 2),
    ("mutating requests per object, operator", lambda one: one.operator_writes_per_object, 2),
    ("GETs and LISTs per object, operator", lambda one: one.operator_reads_per_object, 2),
    ("CPU per object, all processes, ms", lambda one: one.cpu_ms_per_object, 1),
)


def _cpu(name: str) -> Callable[[Result], float]:
    return lambda one: one.cpu_ms[name]


def _median(rounds: Sequence[Result], read: Callable[[Result], float]) -> float:
    return statistics.median(read(one) for one in rounds)


def _row(title: str, job: float | None, run_: float, digits: int) -> str:
    left = "-" if job is None else f"{job:.{digits}f}"
    ratio = f"{run_ / job:.2f}" if job else "-"
    return f"| {title} | {left} | {run_:.{digits}f} | {ratio} |"


def _startups(startups: Sequence[Startup]) -> Iterator[str]:
    yield ""
    yield "### Start of the operator"
    yield ""
    yield "| finished runs | ready, s | Job of a waiting run, s | next run to its Job, s | CPU, s | memory, MiB |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for one in startups:
        cells = (one.finished, one.ready_s, one.waiting_run_s, one.next_run_s, one.cpu_s, one.resident_mib)
        yield "| " + " | ".join(f"{cell:g}" for cell in cells) + " |"
