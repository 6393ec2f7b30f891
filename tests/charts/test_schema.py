"""Values that are wrong are refused, and the refusal names the value."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.charts import helm

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((chart, {"replicas": 2}, "replicas") for chart in helm.ALL if chart != "mlflow"),
    *((chart, {"owner": {"kind": "TrackingStack"}}, "owner") for chart in helm.STACK),
    *((chart, {"tls": {"existingSecret": "No Spaces"}}, "existingSecret") for chart in helm.STACK),
    *((chart, {"tls": {"secret": "a"}}, "secret") for chart in helm.STACK),
    *((chart, {"image": {"digest": "latest"}}, "digest") for chart in helm.ALL),
    *((chart, {"image": {"pullPolicy": "Sometimes"}}, "pullPolicy") for chart in helm.ALL),
    *((chart, {"resources": {"limits": {"memory": "1GB"}}}, "memory") for chart in helm.ALL),
    *((chart, {"resources": {"request": {}}}, "request") for chart in helm.ALL),
    *((chart, {"service": {"port": "5000"}}, "port") for chart in helm.ALL),
    *((chart, {"service": {"port": 70000}}, "port") for chart in helm.ALL),
    *((chart, {"podSecurityContext": {"runAsUser": 0}}, "runAsUser") for chart in helm.ALL),
    *((chart, {"podSecurityContext": {"privileged": True}}, "privileged") for chart in helm.ALL),
    *((chart, {"probes": {"liveness": {"periodSeconds": 0}}}, "periodSeconds") for chart in helm.ALL),
    *((chart, {"env": [{"name": "A", "val": "b"}]}, "val") for chart in helm.ALL),
    *((chart, {"networkPolicy": {"enabled": "yes"}}, "enabled") for chart in helm.ALL),
    ("postgresql", {"existingSecret": ""}, "existingSecret"),
    ("postgresql", {"secretKeys": {"user": "u"}}, "user"),
    ("postgresql", {"maxConnections": 1}, "maxConnections"),
    ("postgresql", {"configuration": {"work_mem": 4}}, "work_mem"),
    ("postgresql", {"persistence": {"size": "ten"}}, "size"),
    ("postgresql", {"persistence": {"whenDeleted": "Keep"}}, "whenDeleted"),
    ("object-store", {"existingSecret": "No Spaces"}, "existingSecret"),
    ("object-store", {"containerPort": 80}, "containerPort"),
    ("object-store", {"command": "minio"}, "command"),
    ("mlflow", {"artifacts": {"endpoint": "object-store:9000"}}, "endpoint"),
    ("mlflow", {"artifacts": {"bucket": "Up"}}, "bucket"),
    ("mlflow", {"artifacts": {"addressingStyle": "both"}}, "addressingStyle"),
    ("mlflow", {"database": {"port": True}}, "port"),
    ("mlflow", {"server": {"workers": 4}}, "workers"),
    ("mlflow", {"server": {"allowedHosts": ["a,b"]}}, "allowedHosts"),
    ("mlflow", {"server": {"corsAllowedOrigins": ["*"]}}, "corsAllowedOrigins"),
    ("mlflow", {"ingress": {"enabled": True}}, "ingress.host"),
    ("mlflow", {"replicas": 0}, "replicas"),
    ("mlflow", {"database": {"caSecret": 1}}, "caSecret"),
    ("mlflow", {"auth": {"enabled": True, "operatorSecret": ""}}, "operatorSecret"),
    ("mlflow", {"auth": {"defaultPermission": "ALL"}}, "defaultPermission"),
    ("mlflow", {"gc": {"schedule": "at night"}}, "schedule"),
    ("mlflow", {"gc": {"olderThan": "30 days"}}, "olderThan"),
    ("mlflow", {"gc": {"olderThan": ""}}, "olderThan"),
    ("mlflow", {"backup": {"keep": 0}}, "keep"),
    ("mlflow", {"backup": {"enabled": True}}, "backup.destination.bucket"),
    ("mlflow", {"backup": {"destination": {"endpoint": "s3.example.com"}}}, "endpoint"),
    ("mlflow", {"restore": {"enabled": True}}, "restore.source.bucket"),
    ("mlflow", {"restore": {"backup": ""}}, "backup"),
    ("mlflow", {"restore": {"source": {"password": "no"}}}, "password"),
    ("runwright", {"logLevel": "LOUD"}, "logLevel"),
    ("runwright", {"concurrency": 0}, "concurrency"),
    ("runwright", {"watchNamespaces": "team-a"}, "watchNamespaces"),
    ("runwright", {"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
    ("runwright", {"defaultStack": {"name": "not.a.name"}}, "defaultStack"),
    ("runwright", {"stackNamespaces": ["Team_A"]}, "stackNamespaces"),
    ("runwright", {"test": {"waitSeconds": 0}}, "waitSeconds"),
    ("runwright", {"logTail": True}, "logTail"),
]


@pytest.mark.contract
@pytest.mark.parametrize(("chart", "values", "named"), REFUSED)
def test_wrong_values_are_refused_by_name(chart: str, values: dict[str, Any], named: str) -> None:
    assert named in helm.refusal(chart, values)


@pytest.mark.parametrize("chart", helm.ALL)
def test_every_object_is_closed_and_every_text_and_list_is_bounded(chart: str) -> None:
    schema = json.loads((helm.CHARTS / chart / "values.schema.json").read_text())
    for where, node in _nodes(schema, ""):
        # These two are Kubernetes' own types, which the API server checks.
        open_types = {"valueFrom", "podSelector", "namespaceSelector", "ipBlock", "ports", "global"}
        opened = open_types | {"nodeAffinity", "podAffinity", "podAntiAffinity"}
        if node.get("type") == "object" and not any(name in where for name in opened):
            assert node.get("additionalProperties") is not None, where
            assert node["additionalProperties"] is False or "maxProperties" in node, where
        if node.get("type") == "string":
            assert {"pattern", "maxLength", "enum"} & set(node), where
        if node.get("type") == "array":
            assert "maxItems" in node, where
        if node.get("type") == "integer":
            assert {"minimum", "maximum"} <= set(node) or "tolerationSeconds" in where, where


def test_shared_definitions_are_the_same_in_every_chart() -> None:
    seen: dict[str, Any] = {}
    for chart in helm.ALL:
        schema = json.loads((helm.CHARTS / chart / "values.schema.json").read_text())
        for name, definition in schema["definitions"].items():
            assert seen.setdefault(name, definition) == definition, f"{chart}: {name}"


def _nodes(node: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield where, node
        for key, value in node.items():
            yield from _nodes(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{where}/{index}")
