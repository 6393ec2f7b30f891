"""`make demo`: from nothing to a tracked MNIST run, with live progress and the address of its curves."""

import json
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import __main__ as testbed
from tests.cluster import deploy
from tests.cluster.steps import Steps
from tests.e2e.runs import condition
from tests.support.kubectl import Kubectl
from tests.support.mlflow_view import MLflowView

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "mnist" / "trainingrun.yaml"
RESULT = ROOT / "build" / "demo.json"
NAMESPACE = "demo"
LIMIT_SECONDS = 600


def main() -> int:
    """Run the demo; what stops it is told in a few lines, with what to do next."""
    try:
        return demo()
    except (OSError, RuntimeError) as error:  # helm, kubectl and MLflow; their own words say what is wrong
        print(f"demo: {error}", file=sys.stderr)
        print("demo: `make demo` goes on where it stopped, `make cluster-down` clears it away", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` goes on where it stopped", file=sys.stderr)
        return 130


def demo() -> int:
    """Run the demo; its steps and seconds are printed at the end, its result goes to ``build/demo.json``."""
    steps = Steps()
    with steps.step("cluster and images"):
        if code := testbed.main(["up"]):
            return code
    kubectl = Kubectl.of_testbed()
    with steps.step("operator, PostgreSQL, object store, MLflow: helm install charts/runwright"):
        deploy.deploy(kubectl)
    manifest = yaml.safe_load(EXAMPLE.read_text())
    name = manifest["metadata"]["name"]
    with steps.step(f"kubectl apply -f {EXAMPLE.relative_to(ROOT)}"):
        kubectl.apply(deploy.restricted_namespace(NAMESPACE))
        kubectl("-n", NAMESPACE, "delete", "trun", name, "--ignore-not-found")
        kubectl("-n", NAMESPACE, "apply", "-f", str(EXAMPLE))
    with steps.step("training"):
        status = watch(kubectl, name)
    result = summary(kubectl, name, status)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result | {"seconds": dict(steps.taken)}, indent=2) + "\n")
    print()
    print(kubectl("-n", NAMESPACE, "get", "trun", name, "-o", "wide"))
    show(result)
    print(steps.summary("Steps"))
    return 0 if result["phase"] == "Succeeded" else 1


def watch(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Print a line per change until the run is over and its records are complete."""
    status: dict[str, Any] = {}
    last, deadline = "", time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        status = (kubectl.get("trun", name, NAMESPACE) or {}).get("status", {})
        line = describe(status)
        if line != last:
            print(f"    {line}", flush=True)
            last = line
        tracking = condition(status, "TrackingAvailable")
        if status.get("phase") in ("Succeeded", "Failed") and tracking.get("reason") == "RunClosed":
            return status
        time.sleep(0.5)
    print(f"the run did not end within {LIMIT_SECONDS} s: kubectl -n {NAMESPACE} describe trun {name}", file=sys.stderr)
    return status


def describe(status: dict[str, Any]) -> str:
    """One line: phase, progress and objective."""
    parts = [f"{status.get('phase', 'Pending'):<10}"]
    if "percentage" in status.get("progress", {}):
        parts.append(f"{status['progress']['percentage']:>3} %")
    if "value" in status.get("objective", {}):
        parts.append(f"{status['objective']['metric']} {status['objective']['value']}")
    running = condition(status, "Running")
    if running.get("status") == "False" and status.get("phase") != "Succeeded":
        parts.append(f"{running['reason']}: {running['message']}")
    return "  ".join(parts)


def summary(kubectl: Kubectl, name: str, status: dict[str, Any]) -> dict[str, Any]:
    """What ``build/demo.json`` holds."""
    run_id = status.get("tracking", {}).get("runId", "")
    recorded: dict[str, Any] = {}
    if run_id:  # a run that never got one failed before
        with deploy.mlflow_port(kubectl) as port:
            recorded = MLflowView(f"http://127.0.0.1:{port}").run(run_id)
    seconds = None
    if status.get("startTime") and status.get("completionTime"):
        begun, ended = (datetime.fromisoformat(status[k]) for k in ("startTime", "completionTime"))
        seconds = (ended - begun).total_seconds()
    value = status.get("objective", {}).get("value")
    return {
        "run": name,
        "namespace": NAMESPACE,
        "phase": status.get("phase"),
        "attempt": status.get("attempt"),
        "mlflowRunId": run_id,
        "mlflowStatus": recorded.get("status"),
        "experimentId": recorded.get("experiment_id"),
        "accuracy": float(value) if value is not None else None,
        "testAccuracy": recorded.get("metrics", {}).get("test_accuracy"),
        "trainingSeconds": seconds,
    }


def show(result: dict[str, Any]) -> None:
    """Say how to look at the result."""
    if not result["mlflowRunId"]:
        print("There is no MLflow run: the MESSAGE above says why. Stop the cluster: make cluster-down")
        return
    path = f"#/experiments/{result['experimentId']}/runs/{result['mlflowRunId']}"
    kubectl = Kubectl.of_testbed()
    program = "kubectl" if shutil.which("kubectl") else kubectl.program
    reached = f"objective {result['accuracy']}, test accuracy {result['testAccuracy']}"
    print(f"MLflow run {result['mlflowRunId']}: {result['mlflowStatus']}, {reached}")
    print("Open it:")
    print(f"  export KUBECONFIG={kubectl.kubeconfig}")
    print(f"  {program} -n {deploy.TRACKING_NAMESPACE} port-forward service/{deploy.MLFLOW} 5000:5000")
    print(f"  http://127.0.0.1:5000/{path}")
    print("Stop the cluster: make cluster-down")


if __name__ == "__main__":
    sys.exit(main())
