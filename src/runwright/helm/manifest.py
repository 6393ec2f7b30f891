"""The objects of a release's manifest, and how to tell whether one was edited. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from runwright.ports import Json, Key

FIELD_MANAGER: Final = "helm"
"""What helm 4 applies with (cmd/helm/helm.go), server-side."""

# libyaml where it is there: a manifest is some 20 kB, and the Python parser takes a second for 100 kB
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VOLATILE: Final = ("managedFields", "resourceVersion", "generation")


def objects(manifest: str, release: Key) -> Sequence[Json]:
    """Parse a manifest into the objects as helm applies them: with its label, annotations and the namespace.

    Raises:
        ValueError: it is no stream of YAML mappings.
    """
    try:
        documents = [one for one in yaml.load_all(manifest, Loader=_LOADER) if one]
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    return tuple(_as_applied(document, release) for document in documents)


def _as_applied(document: Mapping[str, Any], release: Key) -> Json:
    """Add what helm adds (pkg/action/validate.go, setMetadataVisitor)."""
    metadata = document["metadata"]
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    annotations = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": release.name,
        "meta.helm.sh/release-namespace": release.namespace,
    }
    namespace = metadata.get("namespace") or release.namespace
    added = {"namespace": namespace, "labels": labels, "annotations": annotations}
    return {**document, "metadata": {**metadata, **added}}


def title(obj: Json) -> str:
    """``Deployment a-mlflow``."""
    return f"{obj['kind']} {obj['metadata']['name']}"


def lasting(obj: Json) -> Json:
    """Leave out what changes without anybody's intent."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _VOLATILE}
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


def owned_by_helm(managed: Sequence[Json]) -> Sequence[Json] | None:
    """Turn people's and tools' ownership of fields into helm's; None when nobody but helm and Kubernetes own any.

    Entries of subresources (status, scale) and of Kubernetes' own controllers stay.
    """
    foreign = [one for one in managed if _is_foreign(one)]
    if not foreign:
        return None
    ours = [one for one in managed if one["manager"] == FIELD_MANAGER and one["operation"] == "Apply"]
    version = (ours or foreign)[0]["apiVersion"]
    fields: Json = {}
    for one in [*ours, *foreign]:
        if one["apiVersion"] == version:
            fields = _union(fields, one.get("fieldsV1") or {})
    taken = {
        "manager": FIELD_MANAGER,
        "operation": "Apply",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return [*(one for one in managed if one not in ours and one not in foreign), taken]


def _is_foreign(entry: Json) -> bool:
    manager = entry["manager"]
    return manager != FIELD_MANAGER and not entry.get("subresource") and not manager.startswith("kube-")


def _union(one: Json, other: Json) -> Json:
    return {
        name: _union(one.get(name, {}), other.get(name, {})) for name in [*one, *(n for n in other if n not in one)]
    }
