"""Every field of TrainingRun's spec, taken from the schema: what may be changed after creation, and its bounds."""

from collections.abc import Callable
from typing import Any

import pytest

from runwright.apis.crd import annotated_schema, crd_for
from runwright.apis.v1alpha1 import TrainingRun
from tests.apis.samples import Field, Path, fields, values, with_field, without_field
from tests.apis.server import Refused, Server

pytestmark = pytest.mark.contract

SPEC = crd_for(TrainingRun)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
FIELDS = list(fields(SPEC))

MUTABLE: set[Path] = {
    ("tracking", "tags"),
    ("earlyStopping",),
    ("inactivity",),
    ("retry",),
    ("activeDeadlineSeconds",),
    ("pendingDeadlineSeconds",),
    ("gangTimeoutSeconds",),
    ("podsTTLSecondsAfterFinished",),
    ("ttlSecondsAfterFinished",),
    ("suspend",),
    ("stop",),
}
"""What may change in a run's life. `tracking` itself may come and go as long as it holds only tags."""


SET_ONCE = ("stop",)


def is_mutable(path: Path, before: dict[str, Any]) -> bool:
    if path[:1] == SET_ONCE and SET_ONCE[0] in before:
        return False
    return path == ("tracking",) or any(path[: len(free)] == free for free in MUTABLE)


def fixed_part(path: Path) -> str:
    """Return the field that the refusal names: the first one, but tracking's members one by one."""
    return ".".join(path[:2] if path[0] == "tracking" else path[:1])


def run(spec: dict[str, Any], name: str = "fields") -> dict[str, Any]:
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def stored(server: Server, request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that stores a run and returns it; each is deleted when its test ends."""

    def create(spec: dict[str, Any]) -> dict[str, Any]:
        obj = server.create(run(spec))
        request.addfinalizer(lambda: server.delete(obj))
        return obj

    return create


def test_the_table_of_mutable_fields_names_fields_that_exist() -> None:
    assert {field.path for field in FIELDS} >= MUTABLE


def test_the_models_mark_the_same_fields() -> None:
    marked = {
        field.path
        for field in fields(annotated_schema(TrainingRun)["properties"]["spec"])
        if field.node.get("x-runwright-mutable")
    }
    assert marked == MUTABLE


def check(server: Server, field: Field, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Update `before`, as stored, to the spec `after`: accepted exactly where the table says so."""
    assert before["spec"] != after
    update = {**before, "spec": after}
    if is_mutable(field.path, before["spec"]):
        assert server.replace(update, dry_run=True)["spec"] == after
        return
    with pytest.raises(Refused) as refusal:
        server.replace(update, dry_run=True)
    name = fixed_part(field.path)
    remedy = (
        "is set once: " if field.path[:1] == SET_ONCE else "is immutable; use a new metadata.name for a changed run"
    )
    expected = f"spec.{name}: Invalid value: {name} {remedy}"
    assert any(cause.startswith(expected) for cause in refusal.value.causes), refusal.value.causes


OPTIONAL = [field for field in FIELDS if not field.required]
CHANGEABLE = [field for field in FIELDS if field.path != ("tracking",) and len(values(field.node, field.path)) > 1]
Stored = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize("field", OPTIONAL, ids=str)
def test_adding_a_field(server: Server, stored: Stored, field: Field) -> None:
    value = {} if field.path == ("tracking",) else values(field.node, field.path)[0]
    before = stored(without_field(SPEC, field))
    check(server, field, before, with_field(SPEC, field, value))


@pytest.mark.parametrize("field", OPTIONAL, ids=str)
def test_removing_a_field(server: Server, stored: Stored, field: Field) -> None:
    value = {} if field.path == ("tracking",) else values(field.node, field.path)[0]
    before = stored(with_field(SPEC, field, value))
    check(server, field, before, without_field(SPEC, field))


@pytest.mark.parametrize("field", CHANGEABLE, ids=str)
def test_changing_a_field(server: Server, stored: Stored, field: Field) -> None:
    first, second = values(field.node, field.path)[:2]
    before = stored(with_field(SPEC, field, first))
    check(server, field, before, with_field(SPEC, field, second))


def test_only_fields_of_one_value_are_not_changed() -> None:
    assert {str(field) for field in FIELDS} - {str(field) for field in CHANGEABLE} == {
        "tracking",
        "volumes.[].emptyDir.medium",
    }


@pytest.mark.parametrize("field", [field for field in FIELDS if field.required], ids=str)
def test_a_required_field_cannot_be_left_out(server: Server, field: Field) -> None:
    with pytest.raises(Refused) as refusal:
        server.create(run(without_field(SPEC, field)), dry_run=True)
    name = "spec." + str(field).replace(".[]", "[0]")
    assert any(cause.startswith(f"{name}: Required value") for cause in refusal.value.causes), refusal.value.causes


def beyond(field: Field) -> list[Any]:
    """Return a value just beyond each bound of the field."""
    node, found = field.node, []
    if "maximum" in node:
        found += [node["minimum"] - 1, node["maximum"] + 1]
    if "maxLength" in node:
        found.append("1" * (node["maxLength"] + 1))
    if node.get("minLength", 0):
        found.append("")
    if "maxItems" in node:
        item = values(node["items"], (*field.path, "[]"))[0]
        named = isinstance(item, dict) and "name" in item
        found.append([{**item, "name": f"a{n}"} if named else item for n in range(node["maxItems"] + 1)])
    if "maxProperties" in node:
        value = values(node["additionalProperties"], (*field.path, "*"))[0]
        found.append({f"a{n}": value for n in range(node["maxProperties"] + 1)})
    if "enum" in node:
        found.append("Unheard-of")
    return found


BEYOND = [
    pytest.param(field, value, id=f"{field}-{number}") for field in FIELDS for number, value in enumerate(beyond(field))
]


@pytest.mark.parametrize(("field", "value"), BEYOND)
def test_a_value_beyond_a_bound_is_refused_by_name(server: Server, field: Field, value: Any) -> None:
    with pytest.raises(Refused) as refusal:
        server.create(run(with_field(SPEC, field, value)), dry_run=True)
    name = "spec." + str(field).replace(".[]", "[0]")
    assert any(cause.startswith(f"{name}: ") for cause in refusal.value.causes), refusal.value.causes
