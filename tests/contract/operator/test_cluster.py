"""`ports.Cluster` on a real API server, and the client below it when the server misbehaves."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runwright.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    ConflictError,
    RefusedError,
)
from runwright.kube import client as client_module
from runwright.kube.cache import Cache, Difference, key_of
from runwright.kube.client import Client
from runwright.kube.cluster import KubeCluster
from runwright.kube.connection import Connection
from runwright.kube.resync import Resync
from runwright.names import LABEL_RUN_UID
from runwright.ports import EventNote, Key, Kind
from tests.contract.operator.conftest import RUNS, Installed
from tests.support.api_proxy import ApiProxy, Rule, black_hole, cut, refuse

pytestmark = pytest.mark.contract

MAPS = "/api/v1/namespaces/{}/configmaps"


@pytest.fixture
async def client(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setenv("KUBECONFIG", str(installed.kubeconfig))
    client = Client(await Connection.open())
    yield client
    await client.close()


@pytest.fixture
async def proxied(
    installed: Installed, proxy: ApiProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setenv("KUBECONFIG", str(proxy.kubeconfig(installed.kubeconfig, tmp_path / "proxied")))
    client = Client(await Connection.open())
    yield client
    await client.close()


def config_map(namespace: str, name: str = "one") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}}


def job(namespace: str, name: str = "one") -> dict[str, Any]:
    pod = {
        "containers": [{"name": "trainer", "image": "registry.example/trainer:1"}],
        "restartPolicy": "Never",
    }
    labels = {LABEL_RUN_UID: "u-1"}
    meta = {"namespace": namespace, "name": name, "labels": labels}
    spec = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


async def test_create_get_and_the_name_that_is_taken(client: Client, namespace: str) -> None:
    cache = Cache()
    cluster = KubeCluster(client, cache)
    key = Key(namespace, "one")
    assert await cluster.get(Kind.JOB, key) is None
    made = await cluster.create(Kind.JOB, job(namespace))
    assert cluster.cached(Kind.JOB, key) is not None
    assert [key_of(obj) for obj in cluster.owned(Kind.JOB, "u-1")] == [key]
    with pytest.raises(AlreadyExistsError, match="one"):
        await cluster.create(Kind.JOB, job(namespace))
    found = await cluster.get(Kind.JOB, key)
    assert found is not None
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_refusal_names_the_field(client: Client, namespace: str) -> None:
    wrong = config_map(namespace, "Not_A_Name")
    with pytest.raises(RefusedError, match=r"metadata\.name") as caught:
        await KubeCluster(client, Cache()).create(Kind.CONFIG_MAP, wrong)
    assert caught.value.status == 422


async def test_a_missing_right_is_a_refusal(client: Client, namespace: str) -> None:
    with pytest.raises(RefusedError, match="forbidden") as caught:
        await KubeCluster(client, Cache()).get(Kind.NAMESPACE, Key("", "kube-public"))
    assert caught.value.status == 403


async def test_delete_spares_another_uid_and_forgives_absence(
    installed: Installed, client: Client, namespace: str
) -> None:
    cluster = KubeCluster(client, Cache())
    key = Key(namespace, "one")
    made = await cluster.create(Kind.JOB, job(namespace))
    await cluster.delete(Kind.JOB, key, uid="00000000-0000-0000-0000-000000000000")
    assert await cluster.get(Kind.JOB, key) is not None
    await cluster.delete(Kind.JOB, key, uid=made["metadata"]["uid"])
    assert await cluster.get(Kind.JOB, key) is None
    assert cluster.cached(Kind.JOB, key) is None
    await cluster.delete(Kind.JOB, key, uid=made["metadata"]["uid"])
    last = [event for event in installed.control_plane.audit_events() if event["verb"] == "delete"][-1]
    assert last["responseStatus"]["code"] == 404


async def test_a_status_computed_from_an_old_state_is_refused_and_the_cache_is_fresh_then(
    installed: Installed, client: Client, namespace: str
) -> None:
    cluster = KubeCluster(client, Cache())
    installed.new_run(namespace, "hello")
    key = Key(namespace, "hello")
    run = await cluster.get(Kind.TRAINING_RUN, key)
    assert run is not None
    path = f"{RUNS.format(namespace)}/hello"
    labels = {"metadata": {"labels": {"team": "vision"}}}
    installed.admin.request("PATCH", path, labels, content_type="application/merge-patch+json")
    status = {"phase": "Pending", "observedGeneration": 1}
    with pytest.raises(ConflictError):
        await cluster.apply_status(Kind.TRAINING_RUN, {**run, "status": status})
    fresh = cluster.cached(Kind.TRAINING_RUN, key)
    assert fresh is not None
    assert fresh["metadata"]["labels"] == {"team": "vision"}
    answer = await cluster.apply_status(Kind.TRAINING_RUN, {**fresh, "status": status})
    assert answer["status"]["phase"] == "Pending"
    assert cluster.cached(Kind.TRAINING_RUN, key) == {**answer, "metadata": without_managed_fields(answer)}
    await cluster.apply_status(Kind.TRAINING_RUN, {**answer, "status": {**status, "phase": "Succeeded"}})
    assert cluster.cached(Kind.TRAINING_RUN, key) is None


async def test_a_status_for_an_object_made_anew_or_gone_is_a_conflict(
    installed: Installed, client: Client, namespace: str
) -> None:
    cluster = KubeCluster(client, Cache())
    installed.new_run(namespace, "hello")
    key, path = Key(namespace, "hello"), f"{RUNS.format(namespace)}/hello"
    old = await cluster.get(Kind.TRAINING_RUN, key)
    assert old is not None
    installed.admin.request("DELETE", path)
    body = {**old, "status": {"phase": "Pending", "observedGeneration": 1}}
    with pytest.raises(ConflictError, match="gone"):
        await cluster.apply_status(Kind.TRAINING_RUN, body)
    assert cluster.cached(Kind.TRAINING_RUN, key) is None
    new = installed.new_run(namespace, "hello")
    with pytest.raises(ConflictError):
        await cluster.apply_status(Kind.TRAINING_RUN, body)
    cached = cluster.cached(Kind.TRAINING_RUN, key)
    assert cached is not None
    assert cached["metadata"]["uid"] == new["metadata"]["uid"]


async def test_any_character_of_a_log_reaches_the_status(installed: Installed, client: Client, namespace: str) -> None:
    cluster = KubeCluster(client, Cache())
    installed.new_run(namespace, "hello")
    run = await cluster.get(Kind.TRAINING_RUN, Key(namespace, "hello"))
    assert run is not None
    tail = "progress \U0001f680 \x1b[31mred\x1b[0m \x7f\x85\x9f\u2028\ufeff \\ud83d \\U0001f680 ä \t\r\n- 'a': \"b\" #"
    status = {"phase": "Pending", "observedGeneration": 1, "failure": {"reason": "Error", "logTail": tail + "\ud800"}}
    answer = await cluster.apply_status(Kind.TRAINING_RUN, {**run, "status": status})
    assert answer["status"]["failure"]["logTail"] == tail + "\ufffd"


async def test_no_log_is_an_empty_log(installed: Installed, client: Client, namespace: str) -> None:
    cluster = KubeCluster(client, Cache())
    assert await cluster.pod_log(Key(namespace, "absent")) == ""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unscheduled"}}
    spec = {"containers": [{"name": "trainer", "image": "registry.example/trainer:1"}]}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    installed.admin.apply(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", account)
    installed.admin.request("POST", f"/api/v1/namespaces/{namespace}/pods", {**pod, "spec": spec})
    assert await cluster.pod_log(Key(namespace, "unscheduled"), tail_lines=5, limit_bytes=100) == ""


async def test_events_are_posted_in_the_background(installed: Installed, client: Client, namespace: str) -> None:
    cluster = KubeCluster(client, Cache(), instance="operator-0")
    run = installed.new_run(namespace, "hello")
    cluster.start()
    for number in range(3):
        await cluster.post_event(
            Kind.TRAINING_RUN, run, EventNote("Normal", "Started", f"attempt {number} " + "x" * 2000)
        )
    await cluster.aclose()
    events = installed.admin.request("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    assert len(events) == 3
    assert {event["involvedObject"]["uid"] for event in events} == {run["metadata"]["uid"]}
    assert {(event["reportingComponent"], event["reportingInstance"]) for event in events} == {
        ("runwright", "operator-0")
    }
    assert all(len(event["message"]) == 1024 for event in events)


async def test_without_the_lease_nothing_is_written(client: Client, namespace: str) -> None:
    cluster = KubeCluster(client, Cache(), may_write=lambda: False)
    for write in (
        cluster.create(Kind.CONFIG_MAP, config_map(namespace)),
        cluster.delete(Kind.CONFIG_MAP, Key(namespace, "one"), uid="u"),
        cluster.apply_status(Kind.TRAINING_RUN, {"metadata": {"namespace": namespace, "name": "one"}, "status": {}}),
    ):
        with pytest.raises(ClusterUnavailableError, match="Lease"):
            await write
    assert await cluster.get(Kind.CONFIG_MAP, Key(namespace, "one")) is None


async def test_ghosts_are_found_by_a_relist(installed: Installed, client: Client, namespace: str) -> None:
    """What vanished without an event (as during a 410 re-list, of which kopf tells nothing) leaves the cache."""
    cache = Cache()
    cluster = KubeCluster(client, cache)
    found: list[tuple[Kind, Difference]] = []
    resync = Resync(client, cache, namespaces=[namespace], found=lambda kind, what: found.append((kind, what)))
    for name in ("ghost", "alive"):
        await cluster.create(Kind.JOB, job(namespace, name))
        installed.new_run(namespace, name)
    await resync.first()
    for path in (
        f"/apis/batch/v1/namespaces/{namespace}/jobs/ghost?propagationPolicy=Background",
        f"{RUNS.format(namespace)}/ghost",
    ):
        installed.admin.request("DELETE", path)
    found.clear()
    await resync.once()
    vanished = {kind: [key_of(obj).name for obj in what.vanished] for kind, what in found if what.vanished}
    assert vanished == {Kind.JOB: ["ghost"], Kind.TRAINING_RUN: ["ghost"]}
    assert cluster.cached(Kind.JOB, Key(namespace, "ghost")) is None
    assert cluster.cached(Kind.JOB, Key(namespace, "alive")) is not None


async def test_a_list_comes_in_pages_and_starts_over_when_its_token_expired(
    installed: Installed, proxied: Client, proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHUNK", 2)
    for number in range(5):
        installed.new_run(namespace, f"run-{number}")
    expired = proxy.rule(Rule(path=".*/trainingruns", before=refuse(410, "Expired", "too old"), times=0))
    pages = [page async for page in proxied.pages(Kind.TRAINING_RUN, namespace=namespace)]
    assert [len(page["items"]) for page in pages] == [2, 2, 1]

    cache = Cache()
    asked = len(proxy.seen)

    async def second_page_expires(request: Any) -> Any:
        if "continue" in request.query and expired.hits == 2:
            return await refuse(410, "Expired", "too old")(request)
        return None

    expired.before, expired.times = second_page_expires, -1
    await Resync(proxied, cache, namespaces=[namespace], found=lambda *_: None).once()
    assert len(cache.all(Kind.TRAINING_RUN)) == 5
    runs = [seen for seen in proxy.seen[asked:] if seen.path.endswith("/trainingruns")]
    assert len(runs) == 2 + 3


async def test_reads_are_repeated(proxied: Client, proxy: ApiProxy, namespace: str) -> None:
    cluster = KubeCluster(proxied, Cache())
    for before in (cut, refuse(503, "ServiceUnavailable", "starting")):
        rule = proxy.rule(Rule(method="GET", before=before, times=2))
        assert await cluster.get(Kind.CONFIG_MAP, Key(namespace, "absent")) is None
        assert rule.hits == 2


async def test_a_write_whose_fate_is_unknown_is_not_repeated(proxied: Client, proxy: ApiProxy, namespace: str) -> None:
    cluster = KubeCluster(proxied, Cache())
    for before in (cut, refuse(504, "Timeout", "request did not complete")):
        rule = proxy.rule(Rule(method="POST", before=before))
        with pytest.raises(ClusterUnavailableError):
            await cluster.create(Kind.CONFIG_MAP, config_map(namespace))
        assert rule.hits == 1
        rule.remove()


async def test_a_write_that_was_refused_unseen_is_repeated_when_the_server_says(
    proxied: Client, proxy: ApiProxy, namespace: str
) -> None:
    busy = refuse(429, "TooManyRequests", "slow down", {"Retry-After": "1"})
    rule = proxy.rule(Rule(method="POST", before=busy, times=1))
    await KubeCluster(proxied, Cache()).create(Kind.CONFIG_MAP, config_map(namespace))
    assert rule.hits == 1
    asked = Rule(method="POST", before=refuse(429, "TooManyRequests", "slow down", {"Retry-After": "3600"}))
    proxy.rule(asked)
    with pytest.raises(ClusterUnavailableError, match="slow down"):
        await KubeCluster(proxied, Cache()).create(Kind.CONFIG_MAP, config_map(namespace, "two"))
    assert asked.hits == 1


async def test_a_server_that_does_not_answer_is_given_up(
    proxied: Client, proxy: ApiProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = proxy.rule(Rule(method="GET", before=black_hole))
    with pytest.raises(ClusterUnavailableError, match=r"No answer to get configmaps within 0\.2 s"):
        await proxied.call("get", f"{MAPS.format(namespace)}/one", resource="configmaps", seconds=0.2)
    assert rule.hits == 1


async def test_no_server_at_all_is_said_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    client = Client(await Connection.open())
    with pytest.raises(ClusterUnavailableError, match=r"No connection to the API server http://127\.0\.0\.1:1"):
        await client.call("get", "/version", resource="version")
    await client.close()


async def test_a_token_that_was_replaced_on_disk_is_read_again(
    installed: Installed, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(installed.kubeconfig.read_text())
    token = config["users"][0]["user"].pop("token")
    config["users"][0]["user"]["tokenFile"] = str(tmp_path / "token")
    (tmp_path / "token").write_text(token + "\n")
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    client = Client(await Connection.open())
    cluster, key = KubeCluster(client, Cache()), Key(namespace, "absent")
    assert await cluster.get(Kind.CONFIG_MAP, key) is None
    client.connection.configuration.api_key["BearerToken"] = "Bearer expired"
    assert await cluster.get(Kind.CONFIG_MAP, key) is None  # 401, read again, repeated
    await client.close()


def without_managed_fields(obj: Any) -> dict[str, Any]:
    return {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
