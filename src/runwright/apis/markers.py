"""What a model says about itself beyond its types: CEL rules, list semantics, mutability, columns.

The markers travel through pydantic's JSON schema as ``x-...`` keywords, from which `runwright.apis.schema`
reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, GetJsonSchemaHandler, JsonValue
from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
INT_OR_STRING = "x-kubernetes-int-or-string"
MUTABLE = "x-runwright-mutable"
SERVER_DEFAULT = "x-runwright-default"


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule, evaluated by the API server with `self` as the value of the node it stands on."""

    rule: str
    message: str
    """One line: what is wrong and the remedy."""
    field_path: str | None = None
    """Path below the node that the refusal names, e.g. ``.command``; None names the node itself."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the rule as it stands in a CRD."""
        out: dict[str, JsonValue] = {"rule": self.rule, "message": self.message}
        return out if self.field_path is None else {**out, "fieldPath": self.field_path}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Append the rule to the annotated field's schema."""
        schema = dict(handler(core))
        schema[VALIDATIONS] = [*schema.get(VALIDATIONS, []), self.to_dict()]
        return schema


@dataclass(frozen=True, slots=True, eq=False)
class _Keywords:
    """Adds keywords to the annotated field's schema."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **self.keywords}


def list_map(*keys: str) -> _Keywords:
    """Mark a list as a map by `keys`: server-side apply merges it and duplicates are refused."""
    return _Keywords({LIST_TYPE: "map", LIST_MAP_KEYS: list(keys)})


LIST_ATOMIC = _Keywords({LIST_TYPE: "atomic"})
"""The list is replaced as a whole: its order has a meaning."""

MUTABLE_FIELD = _Keywords({MUTABLE: True})
"""The field may be added, changed and removed after creation, in a kind whose spec is immutable otherwise."""


def server_default(value: Any) -> _Keywords:
    """Let the API server write `value` for an absent field; for status only, a default in spec is drift."""
    return _Keywords({SERVER_DEFAULT: value})


def object_rules(*rules: Rule) -> ConfigDict:
    """Return the model configuration that puts `rules` on a whole object."""
    return ConfigDict(json_schema_extra={VALIDATIONS: [rule.to_dict() for rule in rules]})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; `wide` ones show with ``-o wide`` only."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class CustomResource:
    """What a CustomResourceDefinition says about a kind besides its schema."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    """JSON paths usable in field selectors."""
    immutable_spec: bool = False
    """Every field of spec that is not marked `MUTABLE_FIELD` is fixed at creation."""
    root_rules: tuple[Rule, ...] = ()
    """Rules on the whole object: the only ones that see ``metadata.name``."""
    categories: tuple[str, ...] = field(default=("runwright",))
