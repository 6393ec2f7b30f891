"""TrackingStacks and what belongs to them, for the tests of the pure core."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

from runwright.apis.v1alpha1 import TrackingStack, TrackingStackStatus
from runwright.ports import Json, Release
from runwright.trackingstack import values
from runwright.trackingstack.observed import (
    ClaimView,
    ContainerView,
    Observed,
    PartView,
    PodView,
    SecretView,
    WorkloadView,
)
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import Part, claim_name, managed, release_name
from runwright.trackingstack.secrets import own

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UID = "stack-uid"
OPTIONS = Options()
SIZES = {Part.DATABASE: "8Gi", Part.STORE: "20Gi"}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def stack(spec: Json | None = None, status: Json | None = None, *, generation: int = 1) -> TrackingStack:
    meta = {"name": "a", "namespace": "team-a", "uid": UID, "generation": generation, "resourceVersion": "3"}
    return TrackingStack.from_dict({"metadata": meta, "spec": spec or {}, "status": status or {}})


def secret(name: str, *keys: str, owners: tuple[Json, ...] = (), **more: str) -> SecretView:
    return SecretView(name, f"{name}-uid", "7", frozenset(keys), owners, **more)


def own_secrets(of: TrackingStack, owners: tuple[Json, ...] = ()) -> dict[str, SecretView]:
    return {made.name: secret(made.name, *made.keys, owners=owners) for made in own(of)}


def workload(name: str, *, ready: int = 1, storage: str = "8Gi", **changes: Any) -> WorkloadView:
    found: dict[str, Any] = {
        "name": name,
        "uid": f"{name}-uid",
        "deleting": False,
        "settled": True,
        "replicas": 1,
        "updated": 1,
        "ready": ready,
        "revision": "new",
        "storage": storage,
    }
    return WorkloadView(**found | changes)


def claim(name: str = "data-a-postgresql-0", size: str = "8Gi", **changes: Any) -> ClaimView:
    found: dict[str, Any] = {
        "name": name,
        "uid": f"{name}-uid",
        "deleting": False,
        "bound": True,
        "size": size,
        "storage_class": "standard",
        "owners": (),
    }
    return ClaimView(**found | changes)


def container(name: str = "server", **changes: Any) -> ContainerView:
    return ContainerView(name, **changes)


def pod(name: str = "a-postgresql-0", *containers: ContainerView, **changes: Any) -> PodView:
    found: dict[str, Any] = {
        "name": name,
        "uid": f"{name}-uid",
        "created": ago(60),
        "deleting": False,
        "ready": False,
        "phase": "Pending",
        "revision": "new",
        "job": "",
        "unschedulable": "",
        "containers": containers,
    }
    return PodView(**found | changes)


def release(part: Part, **changes: Any) -> Release:
    found: dict[str, Any] = {
        "chart": part.chart,
        "version": "0.1.0",
        "app_version": "1",
        "revision": 1,
        "state": "deployed",
        "description": "Install complete",
        "current": True,
    }
    return Release(**found | changes)


def view(of: TrackingStack, part: Part, **changes: Any) -> PartView:
    """A part that is as wanted."""
    size = SIZES.get(part, "")
    name = release_name(of, part)
    found: dict[str, Any] = {
        "wanted": values.wanted(of, OPTIONS, SIZES, own_secrets(of))[part],
        "asked_size": size,
        "release": release(part),
        "workload": workload(name, storage=size),
        "pods": (pod(f"{name}-0", ready=True, phase="Running"),),
        "claim": claim(claim_name(of, part), size) if size else None,
    }
    return PartView(**found | changes)


def seen(of: TrackingStack, parts: dict[Part, PartView] | None = None, **changes: Any) -> Observed:
    """A stack that is as wanted, but for what is said."""
    views = {part: view(of, part) for part in managed(of)}
    found: dict[str, Any] = {"parts": views | (parts or {}), "secrets": own_secrets(of), "answer": ""}
    return Observed(**found | changes)


def conditions(status: TrackingStackStatus) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in status.conditions}


def secret_object(name: str, data: dict[str, str], namespace: str = "team-a") -> dict[str, Any]:
    encoded = {key: b64encode(text.encode()).decode() for key, text in data.items()}
    return {"metadata": {"name": name, "namespace": namespace}, "data": encoded}
