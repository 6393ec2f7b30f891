"""Whole lives of TrainingRuns in the model world, and how their ends are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runwright.ports import Json, Key, Kind
from runwright.trainingrun.options import Options
from tests.trainingrun.operator_model import OPTIONS, STACK, SWEEP, Process
from tests.trainingrun.world import CrashError, World

KEY = Key("team-a", "mnist")
MOST_ROUNDS = 20_000
TIMES = {
    *("startTime", "completionTime", "endTime", "lastTransitionTime", "timestamp", "nextAttemptTime"),
    *("time", "suspendTime", "resumeTime"),
}
NAMES = {"job", "pod", "runId", "url"}


def manifest(key: Key = KEY, *, queue: str = "", **spec: Any) -> dict[str, Any]:
    """A TrainingRun as a user applies it."""
    labels = {"labels": {"kueue.x-k8s.io/queue-name": queue}} if queue else {}
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": key.name, "namespace": key.namespace, **labels},
        "spec": {
            "image": "trainer:1",
            "command": ["python", "train.py"],
            "parameters": {"lr": "0.1", "epochs": "2"},
            "objective": {"metric": "accuracy", "direction": "Maximize"},
            "podsTTLSecondsAfterFinished": 600,
            **spec,
        },
    }


@dataclass
class Life:
    """A world with one operator, which is replaced by a fresh one whenever it crashes."""

    world: World = field(default_factory=World)
    options: Options = OPTIONS
    lag: Mapping[Kind, float] = field(default_factory=dict)
    stack: bool = True
    crashes: int = 0

    def __post_init__(self) -> None:
        if self.stack:
            self.add_stack()
        self.process = Process(self.world, options=self.options, lag=self.lag)

    def add_stack(self) -> None:
        meta = {"name": STACK.name, "namespace": STACK.namespace}
        self.world.create(Kind.TRACKING_STACK, {"metadata": meta, "status": {"trackingUri": "http://mlflow"}})

    def apply(self, key: Key = KEY, **spec: Any) -> str:
        """Create a TrainingRun and return its uid."""
        made = self.world.create(Kind.TRAINING_RUN, manifest(key, **spec))
        return str(made["metadata"]["uid"])

    def change(self, key: Key = KEY, **spec: Any) -> None:
        """Change a TrainingRun's spec."""
        if (Kind.TRAINING_RUN, key) not in self.world.objects:
            return

        def apply(new: dict[str, Any]) -> None:
            new["spec"] = {**new["spec"], **spec}
            new["metadata"]["generation"] += 1

        self.world.update(Kind.TRAINING_RUN, key, apply)

    def at(self, seconds: float, *what: Callable[[], object]) -> None:
        """Do some things at a time from now."""
        for one in what:
            self.world.after(seconds, one)

    def delete(self, key: Key = KEY) -> None:
        self.world.delete(Kind.TRAINING_RUN, key)

    def print_lines(self) -> None:
        """Every pod that runs prints a line."""
        for pod in self.pods():
            if pod["status"]["phase"] == "Running":
                self.world.printed[pod["metadata"]["name"]] = self.world.now

    def restart(self) -> None:
        """Kill the operator and start a fresh one."""
        self.world.watchers.remove(self.process)
        self.process.alive = False
        self.process = Process(self.world, options=self.options, lag=self.lag)
        self.crashes += 1

    async def step(self) -> bool:
        """Do one thing that is due now; whether there was one."""
        world = self.world
        try:
            return world.fire() or self.process.deliver() or await self.process.work() or world.controllers()
        except CrashError:
            self.restart()
            return True

    async def until(self, seconds: float) -> None:
        """Let time pass up to a point, or until nothing would ever happen again."""
        world = self.world
        for _ in range(MOST_ROUNDS):
            if await self.step():
                continue
            due = [when for when in (world.next_timer(), self.process.next_due()) if when is not None]
            if not due or min(due) > seconds:
                world.seconds = max(world.seconds, min(seconds, 1e9)) if due else world.seconds
                return
            world.seconds = max(world.seconds, *[min(due)])
        raise AssertionError(f"it does not settle: {world.calls[-12:]}")

    async def settle(self) -> None:
        """Let everything happen, periodic sweeps included, until a sweep changes nothing."""
        for _ in range(10):
            await self.until(self.world.seconds + 100_000)
            before = len(self.world.calls)
            self.process.queue.due.setdefault(SWEEP, self.world.seconds)
            await self.until(self.world.seconds + 100_000)
            if len(self.world.calls) == before:
                return
        raise AssertionError(f"sweeps never end: {self.world.calls[-12:]}")

    # What is, for assertions.

    def body(self, key: Key = KEY) -> Json:
        found = self.world.objects.get((Kind.TRAINING_RUN, key))
        assert found is not None
        return found

    def status(self, key: Key = KEY) -> dict[str, Any]:
        return dict(self.body(key).get("status", {}))

    def condition(self, kind: str, key: Key = KEY) -> tuple[str, str, str] | None:
        found = next((c for c in self.status(key).get("conditions", ()) if c["type"] == kind), None)
        return (found["status"], found["reason"], found["message"]) if found else None

    def jobs(self) -> list[dict[str, Any]]:
        return self.world.all(Kind.JOB)

    def pods(self) -> list[dict[str, Any]]:
        return self.world.all(Kind.POD)

    def mlflow(self) -> dict[str, str]:
        """State by run id."""
        return {run_id: stored.run.status for run_id, stored in self.world.mlflow.runs.items()}

    def world_said(self, reason: str) -> str:
        """Messages of Events with this reason."""
        return "\n".join(message for said, message in self.world.told if said == reason)

    def count(self, prefix: str) -> int:
        """Mutating calls of operators whose label begins so."""
        return sum(call.startswith(prefix) for call in self.world.calls)


def plain(value: Any) -> Any:
    """A status without times and generated names."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in TIMES | NAMES}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def end_state(life: Life) -> dict[str, Any]:
    """What a user finds in the end, comparable between lives."""
    world = life.world
    uids = {obj["metadata"]["uid"] for obj in world.all(Kind.TRAINING_RUN)}
    runs = [
        # How far a deleted run came, and who noticed, is a matter of time.
        stored.run.status != "RUNNING"
        if stored.run.tags["runwright.uid"] not in uids
        else (
            stored.run.status,
            dict(stored.run.params),
            {k: v for k, v in stored.run.tags.items() if k != "runwright.uid"},
            {name: m.value for name, m in stored.run.metrics.items()},
            sorted(stored.artifacts),
        )
        for stored in world.mlflow.runs.values()
    ]
    return {
        "status": [plain(dict(obj.get("status", {}))) for obj in world.all(Kind.TRAINING_RUN)],
        "mlflow": runs,
        "jobs": len(world.all(Kind.JOB)),
        "pods": len(world.all(Kind.POD)),
    }
