"""Finished TrainingRuns in great number: copies of one that the operator brought to its end, and of its Job and pod."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench.bench import Bench
from tests.bench.client import Connection
from tests.bench.workload import JOB, TRAINING_RUN
from tests.cluster.errors import ClusterError
from tests.cluster.shell import wait_until

_THREADS = 8
_ORIGINAL = "original"
_BAD = 400
# The server makes these anew, from the copy's own uid and name.
_OF_ITS_JOB = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")


def populate(bench: Bench, count: int) -> None:
    """Have `count` finished TrainingRuns, each with its finished Job and pod; leaves the operator stopped.

    Copies cost a fifth of real runs, and differ from them in nothing that the operator reads.

    Raises:
        ClusterError: The original did not succeed within 120 s, or the server refused a copy.
    """
    namespace = bench.new_namespace("bench-finished")
    api = bench.control_plane.client
    api.request("POST", TRAINING_RUN.path(namespace), TRAINING_RUN.make(_ORIGINAL))

    def over() -> bool:
        status = api.request("GET", TRAINING_RUN.path(namespace, _ORIGINAL)).get("status", {})
        return bool(status.get("phase") == "Succeeded")

    wait_until(over, 120, "the original's success")
    kinds = {"apiVersion": "batch/v1", "kind": "Job"}, {"apiVersion": "v1", "kind": "Pod"}
    run = api.request("GET", TRAINING_RUN.path(namespace, _ORIGINAL))
    job = api.request("GET", JOB.path(namespace))["items"][0] | kinds[0]  # a list's items do not name their kind
    pod = api.request("GET", _pods(namespace))["items"][0] | kinds[1]
    # Or they would act on what is half made.
    bench.operator.stop()
    bench.control_plane.stop_controllers()
    with ThreadPoolExecutor(_THREADS) as threads:
        shares = [range(number, count - 1, _THREADS) for number in range(_THREADS)]
        for done in [
            threads.submit(_copies, bench.access.connect, namespace, (run, job, pod), share) for share in shares
        ]:
            done.result()
    bench.control_plane.start_controllers()


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _copies(
    connect: Callable[[], Connection],
    namespace: str,
    originals: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    numbers: range,
) -> None:
    run, job, pod = originals
    connection = connect()
    for number in numbers:
        name = f"finished-{number:05d}"
        labels = {"runwright.dev/run": name}
        made = _store(connection, TRAINING_RUN.path(namespace), run, name, {}, None)
        labels["runwright.dev/run-uid"] = made["metadata"]["uid"]
        made = _store(connection, JOB.path(namespace), job, f"{name}-1", labels, made)
        own = {key: made["spec"]["template"]["metadata"]["labels"].get(key) for key in _OF_ITS_JOB}
        _store(connection, _pods(namespace), pod, f"{name}-1-0", labels | own, made)
    connection.close()


def _store(
    connection: Connection,
    path: str,
    original: dict[str, Any],
    name: str,
    labels: dict[str, str],
    owner: dict[str, Any] | None,
) -> dict[str, Any]:
    """Store a copy under another name and owner, then its status."""
    old = original["metadata"]
    metadata: dict[str, Any] = {"name": name, "annotations": old.get("annotations", {})}
    if "labels" in old:
        metadata["labels"] = old["labels"] | labels
    if owner is not None:
        reference = old["ownerReferences"][0] | {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        metadata["ownerReferences"] = [reference]
    spec = dict(original["spec"])
    if original["kind"] == "Job":
        spec.pop("selector", None)
        old_labels = spec["template"]["metadata"]["labels"]
        kept = {key: value for key, value in (old_labels | labels).items() if key not in _OF_ITS_JOB}
        spec["template"] = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": kept}}
        metadata["labels"] = {key: value for key, value in metadata["labels"].items() if key not in _OF_ITS_JOB}
    body = {"apiVersion": original["apiVersion"], "kind": original["kind"], "metadata": metadata, "spec": spec}
    made = _sent(connection, "POST", path, body)
    status = {"status": original["status"]}
    _sent(connection, "PATCH", f"{path}/{name}/status", status, "application/merge-patch+json")
    return made


def _sent(
    connection: Connection, method: str, path: str, body: dict[str, Any], content_type: str = "application/json"
) -> dict[str, Any]:
    status, answer = connection.send(method, path, body, content_type=content_type)
    if status >= _BAD:
        raise ClusterError(f"{method} {path}: {status}: {answer[:500].decode(errors='replace')}")
    found: dict[str, Any] = json.loads(answer)
    return found
