"""`make test`: every step in order, how long each took, and a clean end whatever happened between.

Runs on the system's Python, since it makes the project's environment first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTEST = (str(BIN / "pytest"), "-q", "--durations=5")
UNIT = "not contract and not e2e and not torch"
ON_THE_NODE = ("tests/e2e", "tests/charts/test_on_the_node.py", "tests/charts/test_backup_on_the_node.py")
"""They share one installation, and take parts of it away: one after the other."""
BY_FILE = ("-n", "2", "--dist", "loadfile")
"""Each file brings its own API server or tracker; more than two at once starve each other on two cores."""


DEADLINES = r"TimeoutError|TimeoutExpired|ReadTimeout|not within|in vain|timed out|no answer within"
PATIENT = ("--reruns", "1", "--only-rerun", DEADLINES, "-rR")
"""On a busy machine a wait may end too early: that alone is tried once more, and told. Anything else fails at once."""


@dataclass
class Report:
    """What was run, with seconds and exit status, and what was left out and why."""

    rows: list[tuple[str, float, int]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self, name: str, *command: str) -> bool:
        """Run one step; its output goes straight to the terminal."""
        print(f"\n=== {name}", flush=True)
        begun = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        self.rows.append((name, time.monotonic() - begun, status))
        return status == 0

    def show(self) -> None:
        """Print the table of steps."""
        print("\n=== Steps")
        for name, seconds, status in self.rows:
            print(f"  {name:<28} {seconds:8.1f} s  {'ok' if status == 0 else f'FAILED ({status})'}")
        print(f"  {'all':<28} {sum(s for _, s, _ in self.rows):8.1f} s")
        for reason in self.left_out:
            print(f"  left out: {reason}")


def main() -> int:
    """Run all steps; later ones still run when an earlier one fails, unless they need it."""
    report = Report()
    if report.run("environment", sys.executable, "tools/setup.py"):
        report.run("lint, types, import walls", "make", "--no-print-directory", "lint")
        report.run("unit and property tests", *PYTEST, "-n", "2", "-m", UNIT)
        if report.run("cluster and images", str(BIN / "python"), "-m", "tests.cluster", "up"):
            try:
                report.run("contract tests", *PYTEST, *PATIENT, *BY_FILE, "-m", "contract", "--ignore=tests/bench")
                report.run("end-to-end tests", *PYTEST, *PATIENT, "-m", "e2e", *ON_THE_NODE)
                report.run("a second node's life", *PYTEST, *PATIENT, "-m", "e2e", "tests/cluster")
            finally:
                if not os.environ.get("RUNWRIGHT_KEEP_CLUSTER"):
                    report.run("cluster down", str(BIN / "python"), "-m", "tests.cluster", "down")
    report.left_out += [
        "tests/bench: the benchmark (`make bench`) wants an idle machine",
        "CUDA: the GPU manifest is checked against the API, not run",
        "kind and a cluster of KUBECONFIG: this run used one provider",
        "tests/examples -m torch: needs RUNWRIGHT_TORCH_PYTHON, an interpreter with torch (the node trains the same)",
    ]
    report.show()
    return 1 if any(status for _, _, status in report.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
