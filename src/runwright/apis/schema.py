"""From pydantic's JSON Schema to the structural OpenAPI schema of a CustomResourceDefinition; pure.

Kubernetes takes a subset of OpenAPI v3.0 (apiextensions/v1 ``JSONSchemaProps``): no references, no ``null``
type, no ``const``, boolean exclusive bounds. Each keyword is handled by name and an unknown one is an error,
so that nothing that a model says is lost in silence.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runwright.apis.markers import (
    INT_OR_STRING,
    LIST_MAP_KEYS,
    LIST_TYPE,
    MUTABLE,
    SERVER_DEFAULT,
    VALIDATIONS,
    Rule,
)

Schema = dict[str, Any]

_KEPT = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "required",
        "type",
        INT_OR_STRING,
        LIST_MAP_KEYS,
        LIST_TYPE,
        MUTABLE,
        VALIDATIONS,
    }
)
_DROPPED = frozenset({"title", "default", "$defs"})
"""Titles are noise; the models' defaults stay in the models, since a stored default is drift for GitOps."""
_INT32 = 2**31


class SchemaError(ValueError):
    """A model says something that a structural schema cannot."""


def structural(schema: Mapping[str, Any]) -> Schema:
    """Return the structural form of what ``model_json_schema()`` gave; ``x-runwright-mutable`` stays.

    Raises:
        SchemaError: a keyword or a construct has no equivalent.
    """
    return _node(schema, schema.get("$defs", {}), (), "")


def _node(schema: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...], path: str) -> Schema:
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if name in seen:
            raise SchemaError(f"{path or '.'}: {name} contains itself; a structural schema is finite")
        return _node(_merged(defs[name], _without(schema, "$ref")), defs, (*seen, name), path)
    if "anyOf" in schema:
        return _node(_merged(_only_branch(schema["anyOf"], path), _without(schema, "anyOf")), defs, seen, path)
    out: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {name: _node(child, defs, seen, f"{path}.{name}") for name, child in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, Mapping):
            out[key] = _node(value, defs, seen, f"{path}[]" if key == "items" else f"{path}.*")
        elif key not in _DROPPED:
            out.update(_keyword(key, value, path))
    return _ordered(_with_format(out, path))


def _keyword(key: str, value: Any, path: str) -> Schema:
    """Translate a keyword that has no schema below it."""
    if key in _KEPT:
        return {key: value}
    match key, value:
        case "const", _:
            return {"enum": [value]}
        case "exclusiveMinimum", int():
            return {"minimum": value + 1}
        case "exclusiveMaximum", int():
            return {"maximum": value - 1}
        case _ if key == SERVER_DEFAULT:
            return {"default": value}
        case _:
            raise SchemaError(f"{path or '.'}: no equivalent for the keyword {key}: {value!r}")


def _without(schema: Mapping[str, Any], key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Schema:
    """Put the keywords that stand beside a reference over the referenced ones; rules add up."""
    out = {**base, **over}
    if VALIDATIONS in base and VALIDATIONS in over:
        out[VALIDATIONS] = [*base[VALIDATIONS], *over[VALIDATIONS]]
    return out


def _only_branch(branches: list[Mapping[str, Any]], path: str) -> Mapping[str, Any]:
    """Take ``X | None`` apart: None is how a model says absent, which in Kubernetes needs no word."""
    rest = [branch for branch in branches if branch.get("type") != "null"]
    if len(rest) != 1:
        raise SchemaError(f"{path}: a union of {len(rest)} types has no structural form")
    return rest[0]


def _with_format(node: Schema, path: str) -> Schema:
    match node.get("type"):
        case "integer":
            wide = node.get("maximum", _INT32) >= _INT32 or node.get("minimum", 0) < -_INT32
            return {**node, "format": "int64" if wide else "int32"}
        case "object" | "array" | "string" | "boolean":
            return node
        case None if INT_OR_STRING in node:
            return node
        case other:
            raise SchemaError(f"{path or '.'}: type {other!r} has no place in a structural schema")


_FIRST = ("description", "type", "format")
_LAST = (VALIDATIONS, "required", "properties", "items", "additionalProperties")


def _ordered(node: Schema) -> Schema:
    """Order the keywords for a reader: meaning, bounds, rules, children."""
    middle = sorted(key for key in node if key not in _FIRST and key not in _LAST)
    return {key: node[key] for key in (*_FIRST, *middle, *_LAST) if key in node}


def without_markers(node: Schema) -> Schema:
    """Drop our own markers, recursively: what remains is what the API server takes."""
    out = {key: value for key, value in node.items() if key != MUTABLE}
    if "properties" in out:
        out["properties"] = {name: without_markers(child) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = without_markers(out[key])
    return out


def fixed_paths(node: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the fields that never change; an object with a mutable one inside is taken apart."""
    for name, child in node.get("properties", {}).items():
        here = (*path, name)
        if child.get(MUTABLE):
            continue
        if _has_mutable(child):
            yield from fixed_paths(child, here)
        else:
            yield here


def _has_mutable(node: Schema) -> bool:
    children = node.get("properties", {}).values()
    return any(child.get(MUTABLE) or _has_mutable(child) for child in children)


def immutability_rule(path: tuple[str, ...]) -> Rule:
    """Return the transition rule on spec that refuses to add, change or remove the field at `path`.

    Presence is compared as well as the value: a plain transition rule on the field itself would be skipped when
    the field appears or vanishes. (``self.?a == oldSelf.?a`` would say both, but its estimated cost is unbounded.)
    """
    name, now, before = ".".join(path), _present("self", path), _present("oldSelf", path)
    return Rule(
        f"{now} == {before} && (!{now} || self.{name} == oldSelf.{name})",
        f"{name} is immutable; use a new metadata.name for a changed run",
        f".{name}",
    )


def _present(root: str, path: tuple[str, ...]) -> str:
    tests = [f"has({root}.{'.'.join(path[:depth])})" for depth in range(1, len(path) + 1)]
    return tests[0] if len(tests) == 1 else f"({' && '.join(tests)})"
