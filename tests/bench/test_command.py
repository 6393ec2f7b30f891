"""The command works; what it measures is for people, and no test looks at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract
ROOT = Path(__file__).parents[2]
COUNT = 3


def test_it_measures_jobs_and_training_runs(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bench.json"
    sizes = [f"--runs={COUNT}", "--rate=0", "--rounds=1", "--warm-up=0", "--settle=0", f"--finished={COUNT}"]
    command = [sys.executable, "-m", "tests.bench", *sizes, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| created to pod created, p50, s |" in done.stdout
    assert "### Start of the operator" in done.stdout

    found = json.loads(out.read_text())
    job, run = found["results"]
    assert (job["workload"], job["count"], run["workload"], run["count"]) == ("job", COUNT, "trainingrun", COUNT)
    assert job["writes"]["POST jobs"] == run["writes"]["POST jobs"] == 1.0
    assert run["writes"]["POST trainingruns"] == run["operator_requests"]["create jobs"] == 1.0
    assert job["operator_writes_per_object"] == 0.0  # it is not the operator's
    programs = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "operator"}
    assert set(run["cpu_ms"]) == set(run["peak_mib"]) == programs
    assert [start["finished"] for start in found["startups"]] == [0, COUNT]


@pytest.mark.parametrize(("argument", "said"), [("--runs=0", "must be 1 or more"), ("--rate=-1", "must be 0 or more")])
def test_it_refuses_what_cannot_be_measured(argument: str, said: str) -> None:
    command = [sys.executable, "-m", "tests.bench", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
