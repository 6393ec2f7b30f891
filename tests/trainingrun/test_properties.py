"""What holds for every run, whatever happens to it."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.ports import Key, Kind, Metric
from runwright.trainingrun.decide import decide
from runwright.trainingrun.observed import JobView, Observed, PodView
from runwright.trainingrun.plan import CloseRun, Create, CreateRun, Outcome, Plan
from runwright.trainingrun.status import Step, next_status
from tests.trainingrun.life import Life
from tests.trainingrun.samples import NOW, OPTIONS, SERVER, ago, job, pod, run, tracked
from tests.trainingrun.test_crashes import FAULTS, FOLLOWS, assert_no_overlap
from tests.trainingrun.world import Behavior, World

WILD = st.text(max_size=40) | st.just("x" * 6000)
REASONS = st.sampled_from(["", "Evicted", "OutOfnvidia.com/gpu", "OOMKilled", "Error", "ErrImagePull"]) | WILD
TIMES = st.sampled_from([None, ago(3600), ago(60), ago(5), NOW])
FLOATS = st.floats() | st.sampled_from([0.0, 0.5, 1.0])

pods = st.builds(
    pod,
    index=st.integers(0, 2),
    attempt=st.integers(0, 3),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    node=st.sampled_from(["", "n1"]),
    reason=REASONS,
    message=WILD,
    disrupted=st.sampled_from(["", "drained"]),
    unschedulable=st.sampled_from(["", "0/3 nodes"]) | WILD,
    waiting_reason=REASONS,
    waiting_message=WILD,
    started=TIMES,
    finished=TIMES,
    exit_code=st.none() | st.integers(-(2**31), 2**31 - 1),
    exit_reason=REASONS,
    exit_message=WILD,
)
jobs = st.builds(
    job,
    attempt=st.integers(1, 3),
    ended=TIMES,
    result=st.sampled_from([None, "Complete", "Failed"]),
    reason=st.sampled_from(["", "PodFailurePolicy", "BackoffLimitExceeded", "DeadlineExceeded"]),
    message=st.sampled_from(["matching FailJob rule at index 0", "failed with exit code 3 matching rule at index 1"])
    | WILD,
    deleting=st.booleans(),
)
metrics = st.dictionaries(
    st.sampled_from(["acc", "epoch", "progress"]) | st.text(max_size=300),
    st.tuples(FLOATS, st.integers(-(2**63), 2**63 - 1)),
    max_size=70,
)
statuses = st.sampled_from(["", "Pending", "Starting", "Running", "Restarting", "Succeeded", "Failed"])


def _observed(some_jobs: list[JobView], some_pods: list[PodView], points: Any, problem: str) -> Observed:
    found = {name: Metric(name, value, step, NOW) for name, (value, step) in points.items()}
    return Observed(
        jobs={view.attempt: view for view in some_jobs},
        pods=tuple(some_pods),
        server=SERVER,
        tracked=tracked(metrics=found),
        tracker_problem=problem,
    )


def _carried_out(plan: Plan, problem: str, tail: str) -> Outcome:
    made = any(isinstance(a, CreateRun) for a in plan.actions)
    closes = any(isinstance(a, CloseRun) for a in plan.actions)
    if problem:
        return Outcome(tracker_problem=problem, log_tail=tail)
    return Outcome(run=tracked() if made or closes else None, closed=closes, log_tail=tail)


spec: dict[str, Any] = {
    "numNodes": 2,
    "command": ["x"],
    "objective": {"metric": "acc", "direction": "Maximize"},
    "parameters": {"epochs": "7"},
    "retry": {"maxFailures": 1, "maxDisruptions": 1},
    "activeDeadlineSeconds": 1800,
}


@settings(max_examples=250)
@given(st.lists(jobs, max_size=3), st.lists(pods, max_size=4), metrics, st.sampled_from(["", "away"]), WILD)
def test_from_whatever_is_seen_a_valid_status_is_reached_that_stays(
    some_jobs: list[JobView], some_pods: list[PodView], points: Any, problem: str, tail: str
) -> None:
    observed = _observed(some_jobs, some_pods, points, problem)
    current = run(**spec)
    ended = False
    for _ in range(12):
        plan = decide(current, observed, OPTIONS, NOW)
        if ended:
            assert not any(isinstance(a, Create | CreateRun) for a in plan.actions)
        outcome = _carried_out(plan, problem, tail[:2048])
        status = next_status(Step(current, observed, plan, outcome, OPTIONS, NOW))
        again = TrainingRunStatus.from_dict(status.to_dict())  # every bound of the API holds
        assert status.failures + status.disruptions == len([a for a in status.attempts if a.counts_as])
        assert status.running_seconds == sum(a.running_seconds or 0 for a in status.attempts)
        if ended:
            assert status.phase is current.status.phase
        ended = status.phase is not None and status.phase.terminal
        if again == current.status:
            return
        current = current.model_copy(update={"status": again})
    raise AssertionError(f"it never stays: {current.status.to_dict()}")


@settings(max_examples=100)
@given(st.lists(jobs, max_size=3), st.lists(pods, max_size=4), metrics)
def test_deciding_and_telling_are_functions(some_jobs: list[JobView], some_pods: list[PodView], points: Any) -> None:
    one, other = (_observed(some_jobs, some_pods, points, "") for _ in range(2))
    first, second = (decide(run(**spec), seen, OPTIONS, NOW) for seen in (one, other))
    assert first == second
    told = [next_status(Step(run(**spec), seen, first, Outcome(), OPTIONS, NOW)) for seen in (one, other)]
    assert told[0] == told[1]


behaviors = st.builds(
    Behavior,
    seconds=st.sampled_from([0.5, 5.0, 20.0]),
    exit_code=st.sampled_from([0, 0, 3, 137, 143]),
    disrupted=st.booleans(),
    epochs=st.integers(0, 3),
)


@settings(max_examples=60)
@given(
    scripts=st.lists(behaviors, min_size=1, max_size=6),
    nodes=st.integers(1, 2),
    faults=st.dictionaries(st.integers(1, 40), st.sampled_from(FAULTS), max_size=5),
    away=st.none() | st.tuples(st.integers(0, 40), st.integers(1, 60)),
    deleted=st.none() | st.integers(0, 60),
    job_deleted=st.none() | st.integers(0, 60),
    lag=st.dictionaries(st.sampled_from([Kind.JOB, Kind.POD, Kind.TRAINING_RUN]), st.sampled_from([0.5, 3.0])),
)
async def test_every_life_ends_well(
    *,
    scripts: list[Behavior],
    nodes: int,
    faults: Any,
    away: tuple[int, int] | None,
    deleted: int | None,
    job_deleted: int | None,
    lag: Any,
) -> None:
    def script(attempt: int, index: int) -> Behavior:
        return scripts[(attempt * 2 + index) % len(scripts)]

    life = Life(World(script=script, faults=dict(faults)), lag=lag)
    life.apply(numNodes=nodes, retry={"maxFailures": 2, "maxDisruptions": 2})
    mlflow = life.world.mlflow
    if away is not None:
        life.at(away[0], lambda: setattr(mlflow, "away", True))
        life.at(sum(away), lambda: setattr(mlflow, "away", False))
    if deleted is not None:
        life.at(deleted, life.delete)
    if job_deleted is not None:
        life.at(job_deleted, lambda: _delete_a_job(life))
    await life.settle()

    assert "RUNNING" not in life.mlflow().values()
    assert len(mlflow.runs) <= 1
    assert (life.jobs(), life.pods()) == ([], [])
    assert_no_overlap(life)
    for before, after in pairwise(life.world.phases):
        assert after in FOLLOWS[before]
    created = [call for call in life.world.calls if call.startswith("create Job")]
    if job_deleted is None and not faults:
        assert len(created) == len(set(created))
    if deleted is None:
        status = TrainingRunStatus.from_dict(life.status())
        assert status.phase is not None
        assert status.phase.terminal
        assert status.failures + status.disruptions == len([a for a in status.attempts if a.counts_as])
        assert status.running_seconds == sum(a.running_seconds or 0 for a in status.attempts)
        assert [a.number for a in status.attempts] == list(range(1, status.attempt + 1))
        state = {"Succeeded": "FINISHED", "Failed": "FAILED"}[status.phase.value]
        assert list(life.mlflow().values()) == [state]


def _delete_a_job(life: Life) -> None:
    for found in life.jobs():
        life.world.delete(Kind.JOB, Key(found["metadata"]["namespace"], found["metadata"]["name"]))
