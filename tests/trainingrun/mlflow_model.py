"""A model of one MLflow server, as far as `ports.Tracker` shows it: see `world` for what it is for."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from runwright.errors import RefusedError
from runwright.names import TAG_UID
from runwright.ports import Metric, NewRun, RunStatus, TrackedRun


@dataclass
class StoredRun:
    """A run in the server's database."""

    run: TrackedRun
    history: list[Metric] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)


@dataclass
class MLflowModel:
    """The server: `runs/create` makes another run each time, params never change, unknown runs are refused."""

    away: bool = False
    runs: dict[str, StoredRun] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def create(self, new: NewRun) -> TrackedRun:
        run_id = f"run{next(self._ids)}"
        tags = {**new.tags, TAG_UID: new.uid}
        self.runs[run_id] = StoredRun(TrackedRun(run_id, "1", "RUNNING", name=new.run_name, tags=tags))
        return self.runs[run_id].run

    def search(self, uid: str) -> TrackedRun | None:
        """The oldest run with this uid."""
        return next((s.run for s in self.runs.values() if s.run.tags.get(TAG_UID) == uid), None)

    def recorded(self, tags: Mapping[str, str]) -> TrackedRun | None:
        """The newest FINISHED run with these tags."""
        runs = (s.run for s in self.runs.values() if s.run.status == "FINISHED")
        return next((run for run in reversed(list(runs)) if tags.items() <= run.tags.items()), None)

    def change(self, run_id: str, **changes: object) -> None:
        if run_id not in self.runs:
            raise RefusedError(f"MLflow refused: RESOURCE_DOES_NOT_EXIST: {run_id}", status=404)
        stored = self.runs[run_id]
        stored.run = replace(stored.run, **changes)  # type: ignore[arg-type]

    def log_params(self, run_id: str, params: dict[str, str]) -> None:
        known = self.runs[run_id].run.params if run_id in self.runs else {}
        drift = [k for k, v in params.items() if known.get(k, v) != v]
        self.change(run_id, params={**params, **known})
        if drift:
            raise RefusedError(f"the script logged parameters with other values before: {drift}", status=400)

    def set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        known = self.runs[run_id].run.tags if run_id in self.runs else {}
        self.change(run_id, tags={**known, **tags})

    def store(self, run_id: str, path: str, content: bytes) -> None:
        self.change(run_id)
        self.runs[run_id].artifacts[path] = content

    # What the script in the pod does.

    def start(self, run_id: str) -> None:
        if run_id in self.runs:
            self.change(run_id, status="RUNNING")

    def log(self, run_id: str, values: dict[str, float], step: int, at: datetime) -> None:
        if run_id not in self.runs:
            return
        points = {name: Metric(name, value, step, at) for name, value in values.items()}
        self.runs[run_id].history += points.values()
        self.change(run_id, metrics={**self.runs[run_id].run.metrics, **points})

    def end(self, run_id: str, status: RunStatus) -> None:
        """``mlflow.end_run()``."""
        if run_id in self.runs:
            self.change(run_id, status=status)
