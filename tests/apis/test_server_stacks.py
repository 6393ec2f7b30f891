"""TrackingStacks on a real API server: the bounds of every field, taken from the schema, and what may change."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwright.apis.crd import crd_for
from runwright.apis.v1alpha1 import TrackingStack
from tests.apis.samples import Field, fields
from tests.apis.server import Refused, Server

pytestmark = pytest.mark.contract

SPEC = crd_for(TrackingStack)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
FIELDS = {field.path: field for field in fields(SPEC)}
VALID = list(yaml.safe_load_all((Path(__file__).parent / "fixtures/valid/stacks.yaml").read_text()))
Steps = tuple[str, ...]


def stack(spec: dict[str, Any], name: str = "fields") -> dict[str, Any]:
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrackingStack",
        "metadata": {"name": name},
        "spec": spec,
    }


def leaves(value: Any, path: Steps = ()) -> Iterator[Steps]:
    """Yield the path of every member of an object, inner ones included."""
    for name, member in value.items() if isinstance(value, dict) else ():
        yield (*path, name)
        yield from leaves(member, (*path, name))


EXAMPLES = {path: valid["spec"] for valid in VALID for path in leaves(valid["spec"]) if path in FIELDS}
"""A valid spec by each field that it holds."""


def holding(path: Steps, value: Any) -> dict[str, Any]:
    """Return a spec that is valid but for `value`."""
    spec = copy.deepcopy(EXAMPLES[path])
    at = spec
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return stack(spec)


def test_every_field_stands_in_a_valid_fixture() -> None:
    assert {path for path in FIELDS if path[-1] not in "*[]"} == set(EXAMPLES)


def beyond(field: Field) -> list[Any]:
    node, found = field.node, list[Any]()
    if "maximum" in node:
        found += [node["minimum"] - 1, node["maximum"] + 1]
    if "maxLength" in node:
        found.append("1" * (node["maxLength"] + 1))
    if node.get("minLength", 0):
        found.append("")
    if "pattern" in node:
        found.append(" ")
    if "maxProperties" in node:
        found.append({f"a{n}": "x" for n in range(node["maxProperties"] + 1)})
    if "enum" in node:
        found.append("Unheard-of")
    return found


BEYOND = [
    pytest.param(path, value, id=f"{'.'.join(path)}-{number}")
    for path in EXAMPLES
    for number, value in enumerate(beyond(FIELDS[path]))
]


@pytest.mark.parametrize(("path", "value"), BEYOND)
def test_a_value_beyond_a_bound_is_refused_by_name(server: Server, path: Steps, value: Any) -> None:
    with pytest.raises(Refused) as refusal:
        server.create(holding(path, value), dry_run=True)
    name = ".".join(("spec", *path))
    assert any(cause.startswith(f"{name}: ") for cause in refusal.value.causes), refusal.value.causes


EXTERNAL_DATABASE = {"host": "pg", "secretRef": {"name": "pg"}}
EXTERNAL_SERVER = {"external": {"trackingUri": "http://mlflow:5000"}}

MOVES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a-server-becomes-external": (
        {},
        {"server": EXTERNAL_SERVER},
        "spec.server.external: Invalid value: a stack stays",
    ),
    "a-server-is-external-no-more": ({"server": EXTERNAL_SERVER}, {}, "spec.server.external: Invalid value: a stack"),
    "a-database-becomes-external": (
        {"postgresql": {}},
        {"postgresql": {"external": EXTERNAL_DATABASE}},
        "spec.postgresql: Invalid value: postgresql stays external or the stack's own",
    ),
    "a-store-is-external-no-more": (
        {"objectStore": {"external": {"bucket": "mlflow"}}},
        {},
        "spec.objectStore: Invalid value: objectStore stays external or the stack's own",
    ),
    "a-class-appears": (
        {},
        {"postgresql": {"storageClassName": "fast"}},
        "spec.postgresql: Invalid value: the storage class of a volume is fixed",
    ),
    "a-class-changes": (
        {"objectStore": {"storageClassName": "fast"}},
        {"objectStore": {"storageClassName": "slow"}},
        "spec.objectStore: Invalid value: the storage class of a volume is fixed",
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_what_is_fixed_stays_as_it_was_created(server: Server, move: str) -> None:
    before, after, expected = MOVES[move]
    stored = server.create(stack(before, move))
    with pytest.raises(Refused) as refusal:
        server.replace({**stored, "spec": after}, dry_run=True)
    assert any(cause.startswith(expected) for cause in refusal.value.causes), refusal.value.causes


def test_what_is_not_fixed_may_change(server: Server) -> None:
    stored = server.create(stack({"postgresql": {"storage": "1Gi", "storageClassName": "fast"}}, "changing"))
    whole = next(valid["spec"] for valid in VALID if "backup" in valid["spec"] and "version" in valid["spec"]["server"])
    spec = copy.deepcopy(whole)
    del spec["objectStore"]["storageClassName"]
    grown = server.replace({**stored, "spec": spec})
    assert grown["spec"] == spec
    back = {"postgresql": {"storageClassName": "fast"}}
    assert server.replace({**grown, "spec": back})["spec"] == back


def test_columns_show_the_status(server: Server) -> None:
    stored = server.create(stack({}, "columns"))
    row = server.row("TrackingStack", "columns")
    assert (row["Ready"], row["URL"], row["Backup"]) == (None, None, None)
    time = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "m", "lastTransitionTime": time}
    release = {"name": "columns-mlflow", "chart": "mlflow", "version": "0.1.0", "revision": 1, "state": "deployed"}
    status = {
        "observedGeneration": 1,
        "conditions": [ready],
        "trackingUri": "http://columns-mlflow.apis.svc.cluster.local:5000",
        "uiUrl": "https://mlflow.example.com",
        "operatorSecretName": "columns-mlflow-operator",
        "clientSecretName": "columns-mlflow-client",
        "caBundle": "-----BEGIN CERTIFICATE-----",
        "releases": [release],
        "lastBackupTime": time,
    }
    assert server.replace_status({**stored, "status": status})["status"] == status
    row = server.row("TrackingStack", "columns")
    assert (row["Ready"], row["Reason"], row["URL"]) == ("True", "Ready", "https://mlflow.example.com")
    assert (row["Tracking-URI"], row["Message"]) == (status["trackingUri"], "m")
