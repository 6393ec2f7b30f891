"""The values of a stack's charts: what its spec says over the administrator's defaults."""

import copy
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.apis.v1alpha1.trackingstack_parts import PartResources, S3Location
from runwright.names import API_VERSION, GROUP
from runwright.ports import Json, WantedRelease
from runwright.trackingstack import image, secrets
from runwright.trackingstack.observed import SecretView
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import (
    BUCKET,
    DATABASE_PORT,
    INSTANCE,
    NAME,
    STORE_PORT,
    Part,
    host,
    key_of,
    managed,
    release_name,
)

SIZES: Final = {Part.DATABASE: "8Gi", Part.STORE: "20Gi"}
"""Volumes of a stack that says nothing about them; as in the API's reference."""
REGION: Final = "us-east-1"
"""What a store of our own is told; requests are signed for some region."""

ANNOTATION: Final = f"{GROUP}/secrets"
"""Annotation of pods: changes with the Secrets that they read."""

Values = dict[str, Any]


def owner_reference(stack: TrackingStack) -> dict[str, str]:
    """The ownerReference that everything of a stack carries."""
    meta = stack.metadata
    return {"apiVersion": API_VERSION, "kind": "TrackingStack", "name": meta.name, "uid": meta.uid}


def merged(below: Json, above: Json) -> Values:
    """Lay one tree of values over another; lists and scalars are replaced as a whole, as helm does."""
    out = dict(below)
    for name, value in above.items():
        before = out.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        out[name] = merged(before, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return out


def asked_size(stack: TrackingStack, part: Part, options: Options) -> str:
    """Size of the part's volume: the spec's, else the administrator's, else ours."""
    spec = stack.spec.postgresql if part is Part.DATABASE else stack.spec.object_store
    default = (options.defaults.get(part.chart) or {}).get("persistence") or {}
    return (spec.storage if spec else None) or str(default.get("size") or SIZES[part])


def wanted(
    stack: TrackingStack, options: Options, sizes: Mapping[Part, str], seen: Mapping[str, SecretView]
) -> Mapping[Part, WantedRelease]:
    """The releases of a stack.

    Args:
        stack: What is wanted.
        options: The administrator's defaults.
        sizes: Size in the template of each volume claim (see `policies.storage`).
        seen: The stack's Secrets: pods read them when they start, so one that is made anew, or a certificate that is
            renewed, starts them again.
    """
    makers = {Part.DATABASE: _database, Part.STORE: _store, Part.SERVER: _server}
    found = {}
    for part in managed(stack):
        soft, hard = makers[part](stack, options, sizes)
        default = options.defaults.get(part.chart) or {}
        if "resources" in hard:  # what the spec says replaces them as a whole
            default = {name: value for name, value in default.items() if name != "resources"}
        common = {
            "fullnameOverride": release_name(stack, part),
            "owner": owner_reference(stack),
            "podAnnotations": {**(default.get("podAnnotations") or {}), ANNOTATION: _state_of(stack, part, seen)},
        }
        values = merged(merged(soft, default), {**hard, **common})
        found[part] = WantedRelease(
            key_of(stack, release_name(stack, part)), part.chart, copy.deepcopy(values), owner_reference(stack)
        )
    return found


def _state_of(stack: TrackingStack, part: Part, seen: Mapping[str, SecretView]) -> str:
    views = [view for name in secrets.read_by(stack, part) if (view := seen.get(name)) is not None]
    lines = [f"{view.name} {view.uid} {view.certificates}" for view in views]
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _resources(resources: PartResources | None) -> Values:
    """Null takes a chart's default away: a default limit below the request that the spec says would be refused."""
    if resources is None:
        return {}
    said = resources.to_dict()
    absent = {"requests": {"cpu": None, "memory": None}, "limits": {"memory": None}}
    return {"resources": {kind: none | said.get(kind, {}) for kind, none in absent.items()}}


def _peer(stack: TrackingStack, part: Part) -> list[Values]:
    """The pods of a part, for a NetworkPolicy."""
    return [{"podSelector": {"matchLabels": {NAME: part.chart, INSTANCE: release_name(stack, part)}}}]


def _volume(stack: TrackingStack, size: str, storage_class: str | None) -> Values:
    volume = {"size": size, "whenDeleted": stack.spec.deletion_policy or "Retain"}
    return {"persistence": volume | ({"storageClassName": storage_class} if storage_class else {})}


def _database(stack: TrackingStack, _options: Options, sizes: Mapping[Part, str]) -> tuple[Values, Values]:
    spec = stack.spec.postgresql
    hard: Values = {
        "existingSecret": secrets.credentials_name(stack, Part.DATABASE),
        "networkPolicy": {"from": _peer(stack, Part.SERVER)},
        **_volume(stack, sizes[Part.DATABASE], spec.storage_class_name if spec else None),
        **_resources(spec.resources if spec else None),
        "tls": {"existingSecret": (spec.tls_secret_name if spec else None) or ""},
    }
    if chosen := _database_image(stack):
        hard["image"] = chosen
    return {}, hard


def _database_image(stack: TrackingStack) -> Values:
    spec = stack.spec.postgresql
    if spec is not None and spec.image:
        return {**image.split(spec.image)}
    return {**image.tagged(spec.version)} if spec is not None and spec.version else {}


def _store(stack: TrackingStack, _options: Options, sizes: Mapping[Part, str]) -> tuple[Values, Values]:
    spec = stack.spec.object_store
    hard: Values = {
        "existingSecret": secrets.credentials_name(stack, Part.STORE),
        "networkPolicy": {"from": _peer(stack, Part.SERVER)},
        **_volume(stack, sizes[Part.STORE], spec.storage_class_name if spec else None),
        **_resources(spec.resources if spec else None),
        "tls": {"existingSecret": (spec.tls_secret_name if spec else None) or ""},
    }
    if spec is not None and spec.image:
        hard["image"] = image.split(spec.image)
    return {}, hard


def _server(stack: TrackingStack, options: Options, _sizes: Mapping[Part, str]) -> tuple[Values, Values]:
    spec, server = stack.spec, stack.spec.server
    parts = managed(stack)
    hard: Values = {
        "clusterDomain": options.cluster_domain,
        "replicas": (server.replicas if server else None) or 1,
        "database": _connection(stack, options),
        "artifacts": _artifacts(stack, options),
        "auth": {
            "enabled": secrets.has_login(stack),
            "operatorSecret": secrets.operator_name(stack),
            "clientSecret": secrets.client_name(stack),
        },
        "tls": {"existingSecret": (server.tls_secret_name if server else None) or ""},
        "ingress": _ingress(stack),
        "gc": {"enabled": server is not None and server.gc is not None},
        "backup": {"enabled": spec.backup is not None},
        "restore": {"enabled": spec.restore_from is not None},
        "networkPolicy": {
            **({"databaseTo": _peer(stack, Part.DATABASE)} if Part.DATABASE in parts else {}),
            **({"artifactsTo": _peer(stack, Part.STORE)} if Part.STORE in parts else {}),
        },
        **_resources(server.resources if server else None),
    }
    if server is not None and server.image:
        hard["image"] = image.split(server.image)
    elif server is not None and server.version:
        hard["image"] = image.tagged(server.version)
    if server is not None and server.gc:
        hard["gc"] |= {"schedule": server.gc.schedule, "olderThan": server.gc.older_than}
    # pg_dump and pg_restore come with the database's own image.
    tools = {"image": chosen} if (chosen := _database_image(stack)) else {}
    if spec.backup:
        destination = _location(spec.backup.destination)
        hard["backup"] |= {"schedule": spec.backup.schedule, "keep": spec.backup.keep, "destination": destination}
        hard["backup"] |= tools
    if spec.restore_from:
        source = _location(spec.restore_from.source)
        hard["restore"] |= {"backup": spec.restore_from.backup, "source": source, **tools}
    default = (options.defaults.get(Part.DATABASE.chart) or {}).get("image")
    soft: Values = {"backup": {"image": default}, "restore": {"image": default}} if default else {}
    return soft, hard


def _connection(stack: TrackingStack, options: Options) -> Values:
    spec = stack.spec.postgresql
    keys = {"secretKeys": {name: name for name in secrets.DATABASE_KEYS}}
    if spec is not None and spec.external is not None:
        theirs = spec.external
        return {
            "host": theirs.host,
            "port": theirs.port,
            "sslMode": theirs.ssl_mode,
            "existingSecret": theirs.secret_ref.name,
            "caSecret": theirs.ca_secret_ref.name if theirs.ca_secret_ref else "",
            **keys,
        }
    tls = (spec.tls_secret_name if spec else None) or ""
    return {
        "host": host(stack, Part.DATABASE, options.cluster_domain),
        "port": DATABASE_PORT,
        "sslMode": "verify-full" if tls else "disable",
        "existingSecret": secrets.credentials_name(stack, Part.DATABASE),
        "caSecret": tls,
        **keys,
    }


def _artifacts(stack: TrackingStack, options: Options) -> Values:
    spec = stack.spec.object_store
    keys = {"secretKeys": {name: name for name in secrets.S3_KEYS}}
    if spec is not None and spec.external is not None:
        # Somebody else's bucket: it exists, and the credentials need no right to make one.
        return {**_location(spec.external), "createBucket": False, **keys}
    tls = (spec.tls_secret_name if spec else None) or ""
    return {
        "endpoint": f"{'https' if tls else 'http'}://{host(stack, Part.STORE, options.cluster_domain)}:{STORE_PORT}",
        "region": REGION,
        "bucket": BUCKET,
        "prefix": "",
        "addressingStyle": "path",
        "existingSecret": secrets.credentials_name(stack, Part.STORE),
        "caSecret": tls,
        "createBucket": True,
        **keys,
    }


def _location(location: S3Location) -> Values:
    return {
        "endpoint": (location.endpoint or "").rstrip("/"),
        "region": location.region,
        "bucket": location.bucket,
        "prefix": location.prefix or "",
        "addressingStyle": location.addressing_style,
        "existingSecret": location.secret_ref.name if location.secret_ref else "",
        "caSecret": location.ca_secret_ref.name if location.ca_secret_ref else "",
    }


def _ingress(stack: TrackingStack) -> Values:
    ingress = stack.spec.server.ingress if stack.spec.server else None
    if ingress is None:
        return {"enabled": False}
    return {
        "enabled": True,
        "host": ingress.host.lower(),  # an Ingress takes DNS names as they are looked up: in lower case
        "className": ingress.class_name or "",
        "tlsSecretName": ingress.tls_secret_name or "",
        "annotations": dict(ingress.annotations),
    }
