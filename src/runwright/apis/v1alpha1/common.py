"""What both kinds share: the base model, metadata, conditions and bounded scalar types."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from runwright.apis.markers import INT_OR_STRING, Rule, list_map

INT32_MAX = 2**31 - 1
SAFE_MAX = 2**53 - 1
"""Largest bound for 64-bit integers: the API server reads bounds as floating-point numbers."""


class ApiModel(BaseModel):
    """An immutable object of the API: camelCase outside, snake_case inside, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON with the API's field names; absent (None) fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read plain JSON.

        Raises:
            pydantic.ValidationError: `data` does not have this shape.
        """
        return cls.model_validate(data)


def _whole_seconds(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


def format_timestamp(value: datetime) -> str:
    """Format as Kubernetes' metav1.Time does: RFC 3339, UTC, whole seconds, ``Z``."""
    return _whole_seconds(value).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(format_timestamp, return_type=str, when_used="json"),
]
"""A point in time, UTC, cut to whole seconds (metav1.Time)."""

NO_SPACE = r"[^ \t-\r]"
"""A character class: written out, because the server's ``\\S`` knows ASCII only and pydantic's all of Unicode."""
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_VALUE = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]+))?$"

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
"""Name of a namespaced object (RFC 1123 subdomain)."""

LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]


def _number_to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_number_to_text),
    Field(max_length=32, pattern=QUANTITY),
    WithJsonSchema({INT_OR_STRING: True, "maxLength": 32, "pattern": QUANTITY}),
]
"""A non-negative Kubernetes quantity (``500m``, ``4Gi``); a bare integer is accepted as in Pods."""

DNS_1035_NAME = Rule(
    "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "must be at most 63 lower-case letters, digits and '-', start with a letter and end with a "
    "letter or digit, since pods and Services are named after it",
    ".metadata.name",
)
"""Rule of a whole object: stricter than the API server's own (RFC 1123 subdomain of 253 characters)."""

QUALIFIED_KEYS = Rule(
    "self.all(k, !format.qualifiedName().validate(k).hasValue())",
    "keys must be label keys: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_', '.'",
)


class ObjectMeta(ApiModel):
    """The part of metav1.ObjectMeta that Runwright reads; the API server validates it."""

    name: str
    """Name, unique within the namespace."""
    namespace: str = ""
    """Namespace the object lives in."""
    uid: str = ""
    """Unique in time and space; a re-created object has another one."""
    generation: int = 0
    """Counts the changes of spec."""
    resource_version: str = ""
    """Opaque version used as the fence of writes."""
    creation_timestamp: Timestamp | None = None
    """When the API server stored the object first."""
    deletion_timestamp: Timestamp | None = None
    """Set while the object is being deleted."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the object."""


class Condition(ApiModel):
    """One aspect of the object's state, as in metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Aspect, in CamelCase, e.g. Running."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(min_length=1, max_length=256, pattern=CONDITION_REASON)]
    """Why it holds or not, in CamelCase, for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why it holds or not, for people."""
    last_transition_time: Timestamp
    """When status last changed."""
    observed_generation: Annotated[int, Field(ge=0, le=SAFE_MAX)] | None = None
    """Generation of spec that the condition was computed from."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")]
