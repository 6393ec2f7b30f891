"""The translation from pydantic's JSON Schema: each construct of D.1's table, and what has no equivalent."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from runwright.apis.markers import LIST_ATOMIC, MUTABLE_FIELD, Rule, list_map, object_rules, server_default
from runwright.apis.schema import SchemaError, fixed_paths, immutability_rule, structural, without_markers


class Inner(BaseModel):
    """An inner object."""

    model_config = object_rules(Rule("has(self.name)", "set name"))
    name: Annotated[str, Field(max_length=5)]


def schema_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """Return the structural schema of a field `x` annotated so."""
    model = create_model("Model", x=(annotation, default))
    result: dict[str, Any] = structural(model.model_json_schema())["properties"]["x"]
    return result


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[str, Field(max_length=3)] | None, {"type": "string", "maxLength": 3}),
        (Literal["a"], {"type": "string", "enum": ["a"]}),
        (Literal["a", "b"] | None, {"type": "string", "enum": ["a", "b"]}),
        (Annotated[int, Field(gt=0, lt=10)], {"type": "integer", "format": "int32", "minimum": 1, "maximum": 9}),
        (int, {"type": "integer", "format": "int64"}),
        (Annotated[int, Field(ge=0, le=2**31)], {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**31}),
        (bool, {"type": "boolean"}),
        (
            Annotated[dict[str, Annotated[str, Field(max_length=3)]], Field(max_length=2)],
            {
                "type": "object",
                "maxProperties": 2,
                "additionalProperties": {"type": "string", "maxLength": 3},
            },
        ),
        (
            Annotated[tuple[int, ...], Field(max_length=2), LIST_ATOMIC],
            {
                "type": "array",
                "maxItems": 2,
                "x-kubernetes-list-type": "atomic",
                "items": {"type": "integer", "format": "int64"},
            },
        ),
        (
            Inner | None,
            {
                "type": "object",
                "description": "An inner object.",
                "properties": {"name": {"type": "string", "maxLength": 5}},
                "required": ["name"],
                "x-kubernetes-validations": [{"rule": "has(self.name)", "message": "set name"}],
            },
        ),
    ],
)
def test_translates(annotation: Any, expected: dict[str, Any]) -> None:
    assert schema_of(annotation) == expected


def test_a_models_default_is_not_written() -> None:
    assert "default" not in schema_of(int, 3)


def test_a_servers_default_is_written() -> None:
    assert schema_of(Annotated[int, server_default(-1)], 3)["default"] == -1


def test_list_maps_have_keys() -> None:
    schema = schema_of(Annotated[tuple[Inner, ...], list_map("name")])
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == ["name"]


def test_rules_of_a_field_and_of_its_object_add_up() -> None:
    field_rule = Rule("self.name != ''", "name must not be empty", ".name")
    rules = schema_of(Annotated[Inner, field_rule])["x-kubernetes-validations"]
    assert rules == [
        {"rule": "has(self.name)", "message": "set name"},
        {"rule": "self.name != ''", "message": "name must not be empty", "fieldPath": ".name"},
    ]


class Recursive(BaseModel):
    child: "Recursive | None" = None


class Tree(BaseModel):
    branches: dict[str, "Tree"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


@pytest.mark.parametrize(
    ("annotation", "match"),
    [
        (int | str, "union of 2 types"),
        (tuple[int, str], "prefixItems"),
        (Annotated[float, Field(gt=0.5)], "exclusiveMinimum"),
        (float, "'number'"),
        (Annotated[int, Field(multiple_of=3)], "multipleOf"),
        (dict[Annotated[str, Field(max_length=3)], str], "propertyNames"),
        (set[int], "uniqueItems"),
        (Any, "no place"),
        (Recursive, "contains itself"),
        (Tree, "contains itself"),
        (Strict, "additionalProperties"),
    ],
)
def test_refuses_what_has_no_equivalent(annotation: Any, match: str) -> None:
    with pytest.raises(SchemaError, match=match):
        schema_of(annotation)


def test_errors_name_the_field() -> None:
    class Outer(BaseModel):
        items: tuple[Strict, ...]

    with pytest.raises(SchemaError, match=r"^\.items\[\]: .*additionalProperties"):
        structural(Outer.model_json_schema())


class Part(BaseModel):
    fixed: int
    free: Annotated[int, MUTABLE_FIELD]


class Whole(BaseModel):
    part: Part
    other: Inner
    open: Annotated[Inner | None, MUTABLE_FIELD] = None


def test_an_object_with_a_mutable_field_is_fixed_field_by_field() -> None:
    assert list(fixed_paths(structural(Whole.model_json_schema()))) == [("part", "fixed"), ("other",)]


def test_immutability_compares_presence_and_value() -> None:
    assert immutability_rule(("image",)).to_dict() == {
        "rule": "has(self.image) == has(oldSelf.image) && (!has(self.image) || self.image == oldSelf.image)",
        "message": "image is immutable; use a new metadata.name for a changed run",
        "fieldPath": ".image",
    }
    nested = immutability_rule(("part", "fixed")).rule
    assert nested.startswith(
        "(has(self.part) && has(self.part.fixed)) == (has(oldSelf.part) && has(oldSelf.part.fixed))"
    )


def test_own_markers_are_dropped_at_every_depth() -> None:
    schema = structural(Whole.model_json_schema())
    assert "x-runwright-mutable" in str(schema)
    assert "x-runwright" not in str(without_markers(schema))
