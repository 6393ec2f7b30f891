"""The few requests to an API server that the tests of the CRDs make."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import yaml
from kubernetes import config

CRDS = Path(__file__).parents[2] / "crds"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURALS = {"TrainingRun": "trainingruns", "TrackingStack": "trackingstacks"}
NAMESPACE = "apis"
Object = dict[str, Any]


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The API server refused a request."""

    def __init__(self, status: Object) -> None:
        super().__init__(status["message"])
        self.reason = status.get("reason")
        causes = status.get("details", {}).get("causes", [])
        self.causes = [f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in causes]


class Server:
    """An API server as its administrator sees it; objects of ours live in one namespace."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def create_namespace(self) -> None:
        self._request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})

    def install_crds(self) -> None:
        """Create the CRDs and return once each is established: a watch ends where it sees that."""
        for path in sorted(CRDS.glob("*.yaml")):
            name = self._request("POST", CRD_PATH, yaml.safe_load(path.read_text()))["metadata"]["name"]
            query = [("watch", "true"), ("fieldSelector", f"metadata.name={name}"), ("timeoutSeconds", "60")]
            arguments = self._api.param_serialize("GET", CRD_PATH, query_params=query)
            with closing(self._api.call_api(*arguments).response) as events:
                established = any(_established(json.loads(event)["object"]) for event in events)
            assert established, f"{name} was not established within 60 s"

    def create(self, obj: Object, *, dry_run: bool = False) -> Object:
        """Create as kubectl does: unknown fields are refused."""
        return self._request("POST", _path(obj["kind"]), obj, _writing(dry_run=dry_run))

    def create_or_get(self, obj: Object) -> Object:
        """Create, or return what an earlier test created under the name."""
        try:
            return self.create(obj)
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
        return self._request("GET", _path(obj["kind"], obj))

    def replace(self, obj: Object, *, dry_run: bool = False) -> Object:
        return self._request("PUT", _path(obj["kind"], obj), obj, _writing(dry_run=dry_run))

    def replace_status(self, obj: Object) -> Object:
        return self._request("PUT", _path(obj["kind"], obj) + "/status", obj, _writing(dry_run=False))

    def delete(self, obj: Object) -> None:
        self._request("DELETE", _path(obj["kind"], obj))

    def names(self, kind: str, field_selector: str) -> set[str]:
        """Return the names of the objects that `field_selector` selects."""
        found = self._request("GET", _path(kind), query=[("fieldSelector", field_selector)])
        return {item["metadata"]["name"] for item in found["items"]}

    def row(self, kind: str, name: str) -> Object:
        """Return what ``kubectl get -o wide`` shows: cell by column name."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        table = self._request("GET", f"{_path(kind)}/{name}", headers=accept)
        columns = [column["name"] for column in table["columnDefinitions"]]
        return dict(zip(columns, table["rows"][0]["cells"], strict=True))

    def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Object:
        headers = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        arguments = self._api.param_serialize(method, path, query_params=query, header_params=headers, body=body)
        answer = self._api.call_api(*arguments)
        found: Object = json.loads(answer.read())
        if answer.status >= 400:
            raise Refused(found)
        return found


def _path(kind: str, obj: Object | None = None) -> str:
    path = f"/apis/runwright.dev/v1alpha1/namespaces/{NAMESPACE}/{PLURALS[kind]}"
    return path if obj is None else f"{path}/{obj['metadata']['name']}"


def _writing(*, dry_run: bool) -> list[tuple[str, str]]:
    strict = [("fieldValidation", "Strict")]
    return [*strict, ("dryRun", "All")] if dry_run else strict


def _established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)
