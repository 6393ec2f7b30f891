"""MLflow as a user's script or browser sees it: plain REST through a port-forward."""

from dataclasses import dataclass
from typing import Any

import requests


@dataclass(frozen=True)
class MLflowView:
    """Reads of one MLflow server."""

    url: str
    login: tuple[str, str] | None = None
    verify: bool | str = True
    """File of the authorities to trust, or the system's."""

    def call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """One REST call."""
        answer = self._request(method, f"api/2.0/mlflow/{path}", **arguments)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return requests.request(
            method, f"{self.url}/{path}", auth=self.login, verify=self.verify, timeout=30, **arguments
        )

    def run(self, run_id: str) -> dict[str, Any]:
        """A run: info, data (params, metrics, tags as dicts)."""
        run = self.call("GET", "runs/get", params={"run_id": run_id})["run"]
        data = run.get("data", {})
        return {
            "status": run["info"]["status"],
            "experiment_id": run["info"]["experiment_id"],
            "end_time": run["info"].get("end_time"),
            "params": {p["key"]: p["value"] for p in data.get("params", ())},
            "tags": {t["key"]: t["value"] for t in data.get("tags", ())},
            "metrics": {m["key"]: m["value"] for m in data.get("metrics", ())},
        }

    def history(self, run_id: str, metric: str) -> list[dict[str, Any]]:
        """All points of a metric."""
        answer = self.call("GET", "metrics/get-history", params={"run_id": run_id, "metric_key": metric})
        points: list[dict[str, Any]] = answer.get("metrics", [])
        return points

    def artifacts(self, run_id: str, path: str = "") -> list[str]:
        """Paths of a run's artifacts below `path`, files only, recursively."""
        answer = self.call("GET", "artifacts/list", params={"run_id": run_id, **({"path": path} if path else {})})
        found: list[str] = []
        for item in answer.get("files", ()):
            found += self.artifacts(run_id, item["path"]) if item.get("is_dir") else [item["path"]]
        return found

    def artifact(self, run_id: str, path: str) -> str:
        """The text of an artifact."""
        answer = self._request("GET", "get-artifact", params={"run_uuid": run_id, "path": path})
        answer.raise_for_status()
        return answer.text

    def runs(self, experiment: str, only: str = "") -> list[dict[str, Any]]:
        """Runs of an experiment by name; `only` is a filter string."""
        answer = self.call("GET", "experiments/get-by-name", params={"experiment_name": experiment})
        body = {"experiment_ids": [answer["experiment"]["experiment_id"]], "filter": only, "max_results": 1000}
        runs: list[dict[str, Any]] = self.call("POST", "runs/search", json=body).get("runs", [])
        return runs
