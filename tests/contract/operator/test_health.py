"""/healthz turns 503, with the reason, when the operator lives but does not work."""

import sys
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.contract.operator.conftest import Installed
from tests.support.api_proxy import ApiProxy, Rule, mute
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

DEADLINE_SECONDS = 120.0
"""From the fault to the probe's failure: what the operator promises."""


def test_a_silent_watch_and_a_hung_worker_turn_healthz_to_503(
    installed: Installed, namespace: str, make_operator: Callable[..., OperatorProcess], proxy: ApiProxy
) -> None:
    elsewhere = f"{namespace}-hung"
    deaf = make_operator(proxy).start().wait_ready()
    hung = make_operator(where=elsewhere, command=[sys.executable, "-m", "tests.support.hanging_operator"])
    hung.start().wait_ready()
    for operator in (deaf, hung):
        assert operator.probe("healthz")[0] == 200

    # Both faults at once: each takes its time to show, and neither operator knows of the other.
    proxy.rule(Rule(path=".*/jobs", watch=True, line=mute))
    installed.new_run(elsewhere, "hello")
    deadline = time.monotonic() + DEADLINE_SECONDS
    for operator in (deaf, hung):
        left = deadline - time.monotonic()
        operator.wait_for(partial(fails, operator), "a 503 of /healthz", left)

    problems = deaf.probe("healthz")[1]["problems"]
    assert list(problems) == [f"watch:jobs in {namespace}"]
    assert problems[f"watch:jobs in {namespace}"].startswith("silent for 1")
    problems = hung.probe("healthz")[1]["problems"]
    assert list(problems) == ["worker:trainingruns"]
    assert problems["worker:trainingruns"].startswith(f"reconciling {elsewhere}/hello for ")


def test_a_quiet_cluster_is_not_a_silent_one(
    installed: Installed, make_operator: Callable[..., OperatorProcess]
) -> None:
    """Bookmarks keep /healthz good; looked at through the metrics, since waiting for two minutes proves no more."""
    operator = make_operator().start().wait_ready()
    assert operator.metric("runwright_api_request_duration_seconds_count", verb="watch", code="200") == 4
    assert operator.probe("healthz") == (200, {"status": "ok", "problems": {}})


def fails(operator: OperatorProcess) -> bool:
    return operator.probe("healthz")[0] == 503
