"""/healthz, /readyz and /metrics over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runwright.errors import ConfigurationError
from runwright.kube.watched import WATCHED
from runwright.operator.metrics import Metrics
from runwright.operator.probes import Health, ProbeServer
from runwright.operator.pulse import HUNG_SECONDS, SILENT_SECONDS, Beat
from runwright.operator.queue import WorkQueue
from runwright.operator.streams import Streams
from runwright.ports import Key, Kind
from tests.support.until import until


async def hang(_: Key) -> None:
    await asyncio.Event().wait()


class Served:
    """A probe server, and a client for it."""

    def __init__(self, server: ProbeServer, metrics: Metrics, port: int, session: aiohttp.ClientSession) -> None:
        self.server, self.metrics, self.port, self._session = server, metrics, port, session

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.port}/{path}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    metrics = Metrics()
    server = ProbeServer(metrics.registry, 0)
    async with aiohttp.ClientSession() as session:
        yield Served(server, metrics, await server.start(), session)
    await server.aclose()


async def test_before_the_start_is_complete_it_lives_but_is_not_ready(served: Served) -> None:
    assert (await served.get("healthz"))[0] == 200
    status, body = await served.get("readyz")
    assert status == 503
    assert "first LISTs" in body
    served.server.health = Health((), Streams(WATCHED, ()))
    assert (await served.get("readyz"))[0] == 503
    served.server.health.ready = True
    assert (await served.get("readyz"))[0] == 200


async def test_each_problem_is_named(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(Kind.TRAINING_RUN, hang, concurrency=1)
    queue.open()
    running = asyncio.create_task(queue.run())
    queue.add(Key("team-a", "mnist"))
    await until(lambda: queue.oldest() is not None, "the key is in work")
    health = Health((queue,), Streams([Kind.JOB], ["team-a"]))
    health.watching = True
    health.beats["lease"] = Beat(60.0, time.monotonic())
    health.ages["pollers"] = (120.0, lambda: 121.0)
    served.server.health = health
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + max(HUNG_SECONDS, SILENT_SECONDS) + 1)
    problems = dict(health.problems())
    monkeypatch.undo()
    assert problems == {
        "worker:trainingruns": "reconciling team-a/mnist for 101 s",
        "watch:jobs in team-a": "silent for 101 s",
        "loop:lease": "no progress for 101 s",
        "loop:pollers": "no progress for 121 s",
    }
    status, body = await served.get("healthz")
    assert status == 503
    assert "loop:pollers" in body
    await queue.drain(0.0)
    await running


async def test_metrics_can_be_parsed_and_no_family_appears_twice(served: Served) -> None:
    served.metrics.reconciled(Kind.TRAINING_RUN, "ok", 0.01)
    served.metrics.reconciled(Kind.TRAINING_RUN, "transient", 0.01)
    served.metrics.requested("create", "jobs", 201, 0.01)
    served.metrics.requested("create", "jobs", 409, 0.01)
    served.metrics.requested("create", "selfsubjectaccessreviews", 201, 0.01)
    served.metrics.event(Kind.POD, None)
    served.metrics.gauge("runwright_test_gauge", "A gauge.", "phase", lambda: {"Running": 2.0})
    status, text = await served.get("metrics")
    assert status == 200
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    samples = [sample for family in families for sample in family.samples]

    def values(name: str, **labels: str) -> list[float]:
        return [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]

    assert values("runwright_reconcile_duration_seconds_count", kind="TrainingRun", outcome="ok") == [1]
    assert values("runwright_reconcile_retries_total", kind="TrainingRun") == [1]
    assert values("runwright_api_request_duration_seconds_count", verb="create", resource="jobs", code="409") == [1]
    assert values("runwright_api_writes_total") == [1]
    assert values("runwright_watch_events_total", resource="pods", type="NONE") == [1]
    assert values("runwright_test_gauge", phase="Running") == [2]
    assert "process_resident_memory_bytes" in names


async def test_a_port_in_use_is_said(served: Served) -> None:
    with pytest.raises(ConfigurationError, match=f"RUNWRIGHT_HTTP_PORT={served.port} cannot be used"):
        await ProbeServer(Metrics().registry, served.port).start()
