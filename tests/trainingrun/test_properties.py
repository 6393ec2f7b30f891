"""What holds for every run, whatever happens to it."""

from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.apis.v1alpha1 import TrainingRunStatus
from runwright.ports import Key, Kind, Metric
from runwright.trainingrun.decide import decide
from runwright.trainingrun.observed import JobView, Observed, PodView, SetupView
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
    exit_message=WILD | st.just('{"runwright": 1, "tail": "x", "checkpoint": {"step": 7, "time": 1.5}}'),
    disrupted_at=TIMES,
    delete_by=TIMES,
    unschedulable_since=TIMES,
    scheduled=TIMES,
    stop_raised=st.booleans(),
    deleting=st.booleans(),
    setup=st.builds(SetupView, st.none() | st.integers(0, 255), REASONS, WILD, TIMES),
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
    suspended=st.booleans(),
    doomed=st.booleans(),
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
        curve=(*found.values(),),
        last_line=ago(7200),
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
turns = st.fixed_dictionaries(
    {},
    optional={
        "suspend": st.booleans(),
        "stop": st.sampled_from([{"mode": "Finish", "timeoutSeconds": 0}, {"mode": "Finish"}, {"mode": "Cancel"}]),
        "earlyStopping": st.just({"patience": 1}),
        "inactivity": st.sampled_from([{"timeoutSeconds": 60, "action": a} for a in ("Event", "Restart", "Fail")]),
        "pendingDeadlineSeconds": st.just(60),
        "ttlSecondsAfterFinished": st.just(0),
        "checkpoint": st.just({"size": "1Gi"}),
    },
)


@settings(max_examples=250)
@given(st.lists(jobs, max_size=3), st.lists(pods, max_size=4), metrics, st.sampled_from(["", "away"]), WILD, turns)
def test_from_whatever_is_seen_a_valid_status_is_reached_that_stays(
    some_jobs: list[JobView], some_pods: list[PodView], points: Any, problem: str, tail: str, asked: Any
) -> None:
    observed = _observed(some_jobs, some_pods, points, problem)
    current = run(**spec, **asked)
    ended = False
    for _ in range(16):
        plan = decide(current, observed, OPTIONS, NOW)
        if ended:
            assert not any(isinstance(a, Create | CreateRun) for a in plan.actions)
        outcome = _carried_out(plan, problem, tail[:2048])
        status = next_status(Step(current, observed, plan, outcome, OPTIONS, NOW))
        again = TrainingRunStatus.from_dict(status.to_dict())  # every bound of the API holds
        assert_sums(status)
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


def assert_sums(status: TrainingRunStatus) -> None:
    """The counters are those of the attempts' stories."""
    preempted = sum(a.preemptions or 0 for a in status.attempts)
    assert status.failures == len([a for a in status.attempts if a.counts_as == "Failure"])
    assert status.disruptions == len([a for a in status.attempts if a.counts_as == "Disruption"]) + preempted
    assert status.running_seconds == sum(a.running_seconds or 0 for a in status.attempts)


behaviors = st.builds(
    Behavior,
    seconds=st.sampled_from([0.5, 5.0, 20.0]),
    exit_code=st.sampled_from([0, 0, 3, 137, 143]),
    disrupted=st.booleans(),
    epochs=st.integers(0, 3),
    obeys=st.booleans(),
    sigterm_code=st.sampled_from([143, 143, 137, 0]),
)
moments = st.integers(0, 60)


@settings(max_examples=60)
@given(
    scripts=st.lists(behaviors, min_size=1, max_size=6),
    nodes=st.integers(1, 2),
    faults=st.dictionaries(st.integers(1, 40), st.sampled_from(FAULTS), max_size=5),
    away=st.none() | st.tuples(st.integers(0, 40), st.integers(1, 60)),
    deleted=st.none() | st.integers(0, 60),
    job_deleted=st.none() | st.integers(0, 60),
    lag=st.dictionaries(st.sampled_from([Kind.JOB, Kind.POD, Kind.TRAINING_RUN]), st.sampled_from([0.5, 3.0])),
    suspended=st.lists(st.tuples(moments, st.integers(1, 40)), max_size=2),
    queue=st.none() | st.lists(st.tuples(moments, st.integers(1, 40)), max_size=2),
    stop=st.none() | st.tuples(moments, st.sampled_from(["Finish", "Cancel"])),
    places=st.none() | st.tuples(st.integers(0, 1), st.integers(1, 90)),
    asked=turns,
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
    suspended: list[tuple[int, int]],
    queue: list[tuple[int, int]] | None,
    stop: tuple[int, str] | None,
    places: tuple[int, int] | None,
    asked: Any,
) -> None:
    def script(attempt: int, index: int) -> Behavior:
        return scripts[(attempt * 2 + index) % len(scripts)]

    life = Life(World(script=script, faults=dict(faults)), lag=lag)
    asked = {name: value for name, value in asked.items() if name not in ("suspend", "stop", "ttlSecondsAfterFinished")}
    retry = {"maxFailures": 2, "maxDisruptions": 3}
    queued: dict[str, Any] = {"queue": "team"} if queue is not None else {}
    life.apply(numNodes=nodes, retry=retry, gangTimeoutSeconds=20, activeDeadlineSeconds=100, **asked, **queued)
    mlflow = life.world.mlflow
    _interfere(life, suspended, queue, stop)
    if places is not None:
        life.world.places = places[0]
        life.at(places[1], partial(life.world.make_room, nodes))
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
    if job_deleted is None:
        assert len(life.world.jobs_made) == len(set(life.world.jobs_made))
    for before, after in pairwise(life.world.phases):
        assert after in FOLLOWS[before]
    created = [call for call in life.world.calls if call.startswith("create Job")]
    if job_deleted is None and not faults:
        assert len(created) == len(set(created))
    if deleted is None:
        status = TrainingRunStatus.from_dict(life.status())
        assert status.phase is not None
        assert status.phase.terminal
        assert_sums(status)
        assert [a.number for a in status.attempts] == list(range(1, status.attempt + 1))
        assert status.running_seconds <= 100 + 6  # suspended, queued and lost time do not count for the deadline
        state = {"Succeeded": "FINISHED", "Failed": "FAILED", "Cancelled": "KILLED"}[status.phase.value]
        # What a script has called its end is set right unless we die right after the last pod is gone.
        died = any(fault.startswith("crash") for fault in faults.values())
        assert died or list(life.mlflow().values()) in ([state], [])


def _interfere(
    life: Life, suspended: list[tuple[int, int]], queue: list[tuple[int, int]] | None, stop: tuple[int, str] | None
) -> None:
    """What the user and the queue do, and when."""
    for begin, seconds in suspended:
        life.at(begin, partial(life.change, suspend=True))
        life.at(begin + seconds, partial(life.change, suspend=False))
    life.at(5, partial(life.world.suspend, suspended=False))
    for begin, seconds in queue or ():
        life.at(begin, partial(life.world.suspend, suspended=True))
        life.at(begin + seconds, partial(life.world.suspend, suspended=False))
    if stop is not None:
        life.at(stop[0], partial(life.change, stop={"mode": stop[1], "timeoutSeconds": 10}))


def _delete_a_job(life: Life) -> None:
    for found in life.jobs():
        life.world.delete(Kind.JOB, Key(found["metadata"]["namespace"], found["metadata"]["name"]))
