"""Delays, lost events, refusals and restarts of the API server."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.operator.conftest import JOBS, RUNS, Installed
from tests.support.api_proxy import ApiProxy, Rule, delay, refuse
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

MakeOperator = Callable[..., OperatorProcess]


def test_a_job_list_that_is_late_makes_no_second_job(
    installed: Installed, namespace: str, make_operator: MakeOperator, proxy: ApiProxy
) -> None:
    first = make_operator().start().wait_ready()
    installed.new_run(namespace, "hello")
    first.wait_for(lambda: phase(installed, namespace, "hello") == "Starting", "the run starts")
    first.stop()

    late = proxy.rule(Rule(method="GET", path=".*/jobs", watch=False, before=delay(10.0)))
    second = make_operator(proxy).start()
    second.wait_for(lambda: late.hits, "the Job LIST is asked for")
    assert second.probe("readyz")[0] == 503
    second.wait_ready()
    metric = "runwright_reconcile_duration_seconds_count"
    second.wait_for(lambda: second.metric(metric, kind="TrainingRun"), "the run is looked at")
    second.wait_for(lambda: second.metric("runwright_reconciles_running") == 0, "nothing is in work")
    assert proxy.writes() == []
    assert len(installed.jobs(namespace)) == 1


def test_the_whole_life_of_a_run_takes_few_writes(
    installed: Installed, namespace: str, make_operator: MakeOperator, proxy: ApiProxy
) -> None:
    operator = make_operator(proxy).start().wait_ready()
    installed.new_run(namespace, "hello")
    operator.wait_for(lambda: installed.jobs(namespace), "the Job")
    finish_job(installed, namespace)
    operator.wait_for(lambda: phase(installed, namespace, "hello") == "Succeeded", "the run succeeds")
    operator.stop()  # what would still be written is written by now
    writes = [(seen.method, seen.path.partition(f"/namespaces/{namespace}/")[2]) for seen in proxy.writes()]
    objects = [write for write in writes if write != ("POST", "events")]
    assert len(objects) <= 5, objects
    assert objects.count(("POST", "jobs")) == 1
    assert set(objects) == {("POST", "jobs"), ("PATCH", "trainingruns/hello/status")}  # and nothing by kopf


def test_events_of_watches_that_expired_are_made_good(
    installed: Installed, namespace: str, make_operator: MakeOperator, proxy: ApiProxy
) -> None:
    """410 on a watch: kopf lists again, and the operator goes on."""
    operator = make_operator(proxy).start().wait_ready()
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

    async def expire(_: bytes) -> bytes:
        return json.dumps(gone).encode() + b"\n"

    rule = proxy.rule(Rule(path=".*/trainingruns", watch=True, line=expire, times=1))
    installed.new_run(namespace, "lost")  # its ADDED becomes the 410
    operator.wait_for(lambda: rule.hits, "the watch expires")
    operator.wait_for(lambda: installed.jobs(namespace), "the Job of the run whose event was lost")
    assert operator.probe("healthz")[0] == 200


def test_server_errors_and_throttling_are_lived_through(
    installed: Installed, namespace: str, make_operator: MakeOperator, proxy: ApiProxy
) -> None:
    operator = make_operator(proxy).start().wait_ready()
    failing = proxy.rule(
        Rule(method="POST", path=".*/jobs", before=refuse(500, "InternalError", "etcd leader changed"), times=3)
    )
    throttled = proxy.rule(
        Rule(
            method="PATCH",
            path=".*/status",
            before=refuse(429, "TooManyRequests", "slow down", {"Retry-After": "1"}),
            times=2,
        )
    )
    installed.new_run(namespace, "hello")
    operator.wait_for(lambda: installed.jobs(namespace), "the Job")
    assert (failing.hits, throttled.hits) == (3, 2)
    assert len(installed.jobs(namespace)) == 1


def test_a_restart_of_the_api_server_is_lived_through(
    installed: Installed, namespace: str, make_operator: MakeOperator
) -> None:
    operator = make_operator().start().wait_ready()
    installed.control_plane.kill_apiserver()
    installed.control_plane.restart_apiserver()
    operator.restart_if_ended()  # as the kubelet would: an outage longer than the Lease ends a leader
    installed.new_run(namespace, "after")
    operator.wait_for(lambda: installed.jobs(namespace), "the Job of a run made after the restart")
    assert operator.probe("healthz")[0] == 200
    assert operator.stop() == 0


def phase(installed: Installed, namespace: str, name: str) -> str:
    run = installed.admin.request("GET", f"{RUNS.format(namespace)}/{name}")
    return str((run.get("status") or {}).get("phase", ""))


def finish_job(installed: Installed, namespace: str) -> None:
    """Do what the Job controller and the kubelet do for a Job whose pod succeeds at once."""
    (job,) = installed.jobs(namespace)
    path = f"{JOBS.format(namespace)}/{job['metadata']['name']}"
    now = job["metadata"]["creationTimestamp"]
    done = {"status": "True", "reason": "CompletionsReached", "lastTransitionTime": now, "lastProbeTime": now}
    status: dict[str, Any] = {
        "startTime": now,
        "completionTime": now,
        "succeeded": 1,
        "completedIndexes": "0",
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "conditions": [{"type": "SuccessCriteriaMet", **done}, {"type": "Complete", **done}],
    }
    installed.admin.request("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")
