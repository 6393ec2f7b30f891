"""``python -m tests.bench``: TrainingRuns beside bare Jobs on simulated nodes; docs/benchmarks.md explains it."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bench import Bench, running
from tests.bench.finished import populate
from tests.bench.measure import Result, measure
from tests.bench.report import Machine, Report
from tests.bench.startup import Startup, start_again
from tests.bench.workload import JOB, TRAINING_RUN
from tests.cluster.errors import ClusterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    try:
        report = _run(asked)
    except (ClusterError, AssertionError, RuntimeError) as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("stopped")
        return 128 + signal.SIGINT
    sys.stdout.write(report.as_markdown())
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(report.as_json(), indent=1) + "\n")
        _say(f"written: {asked.out}")
    return 0


def _end(_number: int, _frame: object) -> None:
    """End as by Ctrl-C, so that nothing that was started is left behind."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure TrainingRuns beside bare Jobs on simulated nodes (kwok): latency, throughput, API writes, "
        "CPU and memory. Nothing is asserted; run it on an idle machine.",
    )
    parser.add_argument("--runs", type=_count, default=200, metavar="N", help="objects of the burst (default: 200)")
    parser.add_argument(
        "--rate",
        type=_rate,
        default=5.0,
        metavar="R",
        help="objects per second when paced; 0: no paced part (default: 5)",
    )
    parser.add_argument("--paced", type=_count, default=60, metavar="N", help="objects when paced (default: 60)")
    parser.add_argument(
        "--rounds",
        type=_count,
        default=2,
        metavar="N",
        help="rounds; every other one starts with the TrainingRuns (default: 2)",
    )
    parser.add_argument(
        "--warm-up", type=_number, default=20, metavar="N", help="objects of each kind before it counts (default: 20)"
    )
    parser.add_argument(
        "--settle",
        type=_number,
        default=5,
        metavar="SECONDS",
        help="measured after the last completion: what is written late belongs to the objects too (default: 5)",
    )
    parser.add_argument(
        "--finished",
        type=_count,
        metavar="N",
        help="also: start the operator beside N finished TrainingRuns, Jobs and pods",
    )
    parser.add_argument(
        "--tracking", choices=("off", "mlflow"), default="off", help="mlflow: a real server on SQLite (default: off)"
    )
    parser.add_argument(
        "--profile", type=Path, metavar="FILE.pstats", help="run the operator under cProfile, which slows it down"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write everything measured here")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _rate(text: str) -> float:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _run(asked: argparse.Namespace) -> Report:
    begun = time.monotonic()
    with running(asked.tracking, asked.profile) as bench:
        _say(f"control plane, simulated nodes and operator run after {time.monotonic() - begun:.0f} s")
        if asked.warm_up:
            for workload in (JOB, TRAINING_RUN):
                measure(bench, workload, asked.warm_up, settle=0)
        results: list[Result] = []
        for number in range(asked.rounds):
            pair = (JOB, TRAINING_RUN) if number % 2 == 0 else (TRAINING_RUN, JOB)
            results += [_told(measure(bench, workload, asked.runs, settle=asked.settle)) for workload in pair]
            if asked.rate:
                results += [
                    _told(measure(bench, workload, asked.paced, asked.rate, settle=asked.settle)) for workload in pair
                ]
        startups = _startups(bench, asked.finished) if asked.finished else ()
        return Report(Machine.this(), asked.tracking, tuple(results), startups)


def _startups(bench: Bench, finished: int) -> tuple[Startup, ...]:
    without = start_again(bench, 0, os.getloadavg()[0])
    begun = time.monotonic()
    populate(bench, finished)
    _say(f"{finished} finished TrainingRuns after {time.monotonic() - begun:.0f} s")
    return without, start_again(bench, finished, os.getloadavg()[0])


def _told(result: Result) -> Result:
    pace = f"{result.rate:g}/s" if result.rate else "at once"
    _say(
        f"{result.count} {result.workload}s {pace}: {result.per_second:g} complete per second, created to pod "
        f"p50 {result.created_to_pod.p50:.3f} s, p99 {result.created_to_pod.p99:.3f} s (load {result.load_before:g})"
    )
    return result


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
