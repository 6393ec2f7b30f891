"""Values for every field of a schema, made from the schema: what the tests on the API server add, change and remove."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Node = Mapping[str, Any]
Path = tuple[str, ...]
"""Names of fields; ``[]`` and ``*`` stand for a list's items and a map's values."""

BASE: Final = {
    "image": "example/trainer:1",
    "command": ["python"],
    "objective": {"metric": "a", "direction": "Maximize"},
}
"""With a command no number of processes is refused; with an objective early stopping needs no metric of its own."""

UNIONS: Final[Mapping[Path, tuple[str, ...]]] = {
    ("source",): ("configMap", "inline", "git"),
    ("checkpoint",): ("size", "claimName"),
    ("env", "[]", "valueFrom"): ("secretKeyRef", "configMapKeyRef"),
    ("volumes", "[]"): ("emptyDir", "configMap", "secret", "persistentVolumeClaim"),
}
"""Objects of which exactly one member is set."""

COMPANIONS: Final[Mapping[Path, Mapping[str, Any]]] = {
    ("resourcesPerNode", "gpuResourceName"): {"gpus": 1},
    ("earlyStopping", "metric"): {"direction": "Maximize", "patience": 1},
    ("earlyStopping", "direction"): {"patience": 1},
    ("earlyStopping", "patience"): {"threshold": "1"},
    ("earlyStopping", "threshold"): {"patience": 1},
    ("earlyStopping", "minDelta"): {"patience": 1},
    ("earlyStopping", "minSteps"): {"patience": 1},
    ("earlyStopping", "timeoutSeconds"): {"patience": 1},
    ("tolerations", "[]", "key"): {"operator": "Exists"},
    ("tolerations", "[]", "operator"): {"key": "a"},
    ("tolerations", "[]", "value"): {"key": "a"},
    ("tolerations", "[]", "effect"): {"key": "a"},
    ("tolerations", "[]", "tolerationSeconds"): {"key": "a", "effect": "NoExecute"},
}
"""Fields beside the one in question, without which its presence or absence would be refused for another reason."""

CHOSEN: Final[Mapping[Path, tuple[Any, ...]]] = {
    ("earlyStopping",): ({"patience": 1}, {"patience": 2}),
    ("datasets", "[]", "sha256"): ("0" * 64, "1" * 64),
    ("retry", "maxBackoffSeconds"): (100, 200),  # not below the default of backoffSeconds
    ("tolerations", "[]"): ({"key": "a"}, {"key": "b"}),
}

_TEXTS: Final = (
    *("a", "b", "/a", "/b", "a.b/c", "a.b/d"),
    *("http://a", "http://b", "http://a/b", "http://a/c", "s3://aaa", "s3://bbb", "1", "2"),
)


@dataclass(frozen=True)
class Field:
    """A field somewhere in spec."""

    path: Path
    node: Node
    required: bool

    def __str__(self) -> str:
        return ".".join(self.path)


def fields(spec: Node, path: Path = ()) -> Iterator[Field]:
    """Yield every field below `spec`, those of list items included."""
    required = spec.get("required", ())
    for name, child in spec.get("properties", {}).items():
        yield Field((*path, name), child, name in required)
        yield from fields(child, (*path, name))
    for key, step in (("items", "[]"), ("additionalProperties", "*")):
        if key in spec:
            yield from fields(spec[key], (*path, step))


def values(node: Node, path: Path) -> tuple[Any, ...]:
    """Return one or two different valid values of the field at `path`."""
    if path in CHOSEN:
        return CHOSEN[path]
    if "enum" in node:
        return (node["enum"][0], node["enum"][-1]) if len(node["enum"]) > 1 else (node["enum"][0],)
    if "properties" in node:
        return _objects(node, path)
    if "additionalProperties" in node:
        return tuple({"a": value} for value in values(node["additionalProperties"], (*path, "*")))
    if "items" in node:
        return tuple([value] for value in values(node["items"], (*path, "[]")))
    match node.get("type"):
        case "boolean":
            return (True, False)
        case "integer":
            return (node["minimum"], node["minimum"] + 1)
        case None:
            return ("1", "2")
        case _:
            texts = [text for text in _TEXTS if re.search(node.get("pattern", ""), text)]
            texts = [text for text in texts if len(text) >= node.get("minLength", 0)]
            return (texts[0], texts[1])


def _objects(node: Node, path: Path) -> tuple[Any, ...]:
    if path in UNIONS:
        return tuple(minimal(node, path, member) for member in UNIONS[path][:2])
    first = next(iter(node.get("required", node["properties"])))
    whole = minimal(node, path)
    return tuple({**whole, first: value} for value in values(node["properties"][first], (*path, first)))


def minimal(node: Node, path: Path, member: str | None = None) -> dict[str, Any]:
    """Return the object at `path` with no more than it needs; `member` is the chosen one of a union."""
    names = list(node.get("required", ()))
    if path in UNIONS:
        names.append(member or UNIONS[path][0])
    return {name: values(node["properties"][name], (*path, name))[0] for name in names}


_ABSENT: Final = object()


def with_field(spec: Node, field: Field, value: Any) -> dict[str, Any]:
    """Return a valid spec in which `field` is `value`."""
    return {**BASE, **_embed(spec, field.path, value, ())}


def without_field(spec: Node, field: Field) -> dict[str, Any]:
    """Return the same spec as `with_field` but for `field`, or for another member of its union."""
    whole = {**BASE, **_embed(spec, field.path, _ABSENT, ())}
    if len(field.path) == 1:
        whole.pop(field.path[0], None)
    return whole


def _embed(node: Node, path: Path, value: Any, at: Path) -> Any:
    head, rest = path[0], path[1:]
    if head == "[]":
        return [_embed(node["items"], rest, value, (*at, head))]
    if head == "*":
        return {"a": _embed(node["additionalProperties"], rest, value, (*at, head))}
    here = (*at, head)
    if at in UNIONS:
        others = [member for member in UNIONS[at] if member != head]
        chosen = head if value is not _ABSENT or rest else others[0]
        out = minimal(node, at, chosen if head in UNIONS[at] else None)
    else:
        out = minimal(node, at) if at else {}
    out.update(COMPANIONS.get(here, {}))
    if rest:
        out[head] = _embed(node["properties"][head], rest, value, here)
    elif value is _ABSENT:
        out.pop(head, None)
    else:
        out[head] = value
    return out
