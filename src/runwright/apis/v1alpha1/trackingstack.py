"""TrackingStack: the MLflow server that TrainingRuns log to."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from runwright.apis.markers import Column, CustomResource, Rule, server_default
from runwright.apis.v1alpha1.common import DNS_1035_NAME, SAFE_MAX, ApiModel, Conditions, ObjectMeta

HttpUrl = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=r"^https?://[^ \t-\r/?#@]+(/[^ \t-\r?#]*)?$"),
    Rule(
        "isURL(self)",
        "must be an http or https URL without credentials, query or fragment, e.g. http://mlflow.tracking:5000",
    ),
]


class ExternalServer(ApiModel):
    """An MLflow server that somebody else runs."""

    tracking_uri: HttpUrl
    """Address of the MLflow server, as the operator and the training pods reach it."""
    ui_url: HttpUrl | None = None
    """Address of the MLflow user interface, as people reach it; default: trackingUri."""


class ServerSpec(ApiModel):
    """The MLflow server."""

    external: ExternalServer
    """An MLflow server that somebody else runs."""


class TrackingStackSpec(ApiModel):
    """Where runs are tracked."""

    server: ServerSpec
    """The MLflow server."""


class TrackingStackStatus(ApiModel):
    """What was observed; written by the operator only."""

    observed_generation: Annotated[int, Field(ge=-1, le=SAFE_MAX), server_default(-1)] = -1
    """Generation of spec that this status was computed from; -1 before the first."""
    conditions: Conditions = ()
    """TrackingReady, and kstatus' Ready and Reconciling."""
    tracking_uri: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the MLflow server in use."""
    ui_url: Annotated[str, Field(max_length=2048)] | None = None
    """Address of the user interface in use."""


class TrackingStack(ApiModel):
    """A place where runs are tracked."""

    resource: ClassVar[CustomResource] = CustomResource(
        kind="TrackingStack",
        plural="trackingstacks",
        short_names=("tstack",),
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("URL", ".status.uiUrl", description="Address of the MLflow user interface"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Tracking-URI", ".status.trackingUri", wide=True),
            Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True),
        ),
        root_rules=(DNS_1035_NAME,),
    )

    api_version: Literal["runwright.dev/v1alpha1"] = "runwright.dev/v1alpha1"
    """API group and version."""
    kind: Literal["TrackingStack"] = "TrackingStack"
    """Kind of the object."""
    metadata: ObjectMeta
    """Name, namespace, labels and what else every object has."""
    spec: TrackingStackSpec
    """Where runs are tracked."""
    status: Annotated[TrackingStackStatus, server_default({})] = Field(default_factory=TrackingStackStatus)
    """What was observed; written by the operator."""
