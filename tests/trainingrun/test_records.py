import pytest
import yaml

from runwright.apis.v1alpha1 import Phase, TrainingRun, TrainingRunStatus
from runwright.errors import InvalidObjectError
from runwright.ports import TrackingServer
from runwright.stored import parse
from runwright.trainingrun import records
from runwright.trainingrun.manifests import spec_hash
from tests.trainingrun.samples import NOW, OPTIONS, RUNNING, SERVER, condition, run

SHARED = TrackingServer("http://mlflow:5000", shared=True)


@pytest.mark.parametrize(
    ("experiment", "server", "name"),
    [
        (None, SERVER, "team-a"),
        ("mnist", SERVER, "mnist"),
        (None, SHARED, "team-a"),
        ("mnist", SHARED, "team-a/mnist"),
        ("team-a", SHARED, "team-a"),
        ("team-b", SHARED, "team-a/team-b"),
    ],
)
def test_experiments_of_namespaces_are_apart_on_a_shared_stack(
    experiment: str | None, server: TrackingServer, name: str
) -> None:
    tracking = {"experiment": experiment} if experiment else {}
    assert records.experiment_name(run(tracking=tracking), server) == name


def test_the_seed_is_a_parameter() -> None:
    assert records.parameters(run(seed=0, parameters={"lr": "0.1"}).spec) == {"seed": "0", "lr": "0.1"}
    assert records.parameters(run().spec) == {}


def test_a_new_run_carries_what_finds_it_again() -> None:
    made = run(tracking={"tags": {"team": "vision"}, "description": "**why**", "runName": "first"})
    new = records.new_run(made, SERVER, OPTIONS, NOW)
    assert (new.run_name, new.uid, new.start_time) == ("first", made.metadata.uid, NOW)
    assert new.tags == {
        "team": "vision",
        "mlflow.user": "team-a",
        "mlflow.source.type": "JOB",
        "mlflow.source.name": "team-a/mnist",
        "mlflow.docker.image.uri": "trainer:1",
        "mlflow.note.content": "**why**",
        "runwright.cluster": "cluster",
        "runwright.uid": made.metadata.uid,
        "runwright.namespace": "team-a",
        "runwright.name": "mnist",
        "runwright.spec_hash": spec_hash(made.spec),
        "runwright.attempt": "1",
    }


def test_the_manifest_that_ran_can_be_applied_again() -> None:
    made = run({"resolved": {"imageDigest": "trainer@sha256:1"}}, parameters={"grüße": "ü"}, seed=3)
    text = records.resolved_manifest(made).decode()
    assert "# image digest: trainer@sha256:1\n" in text
    again = yaml.safe_load(text)
    assert TrainingRun.from_dict(again).spec == made.spec
    assert set(again) == {"apiVersion", "kind", "metadata", "spec"}


def test_the_attempt_that_runs_is_the_last_one_without_an_end() -> None:
    status = TrainingRunStatus.from_dict(RUNNING)
    record = records.running_attempt(status)
    assert record is not None
    assert record.number == 1
    assert records.running_attempt(status.model_copy(update={"attempt": 2})) is None
    ended = record.model_copy(update={"end_time": NOW})
    assert records.running_attempt(status.model_copy(update={"attempts": (ended,)})) is None
    assert records.running_attempt(TrainingRunStatus()) is None


def test_the_mark_and_the_end_are_read_from_the_condition() -> None:
    nothing, marked, closed = (
        TrainingRunStatus(conditions=conditions)
        for conditions in (
            (),
            (condition("TrackingAvailable", "Unknown", records.CREATING_RUN),),
            (condition("TrackingAvailable", "True", records.RUN_CLOSED),),
        )
    )
    assert [records.marked(s) for s in (nothing, marked, closed)] == [False, True, True]
    assert [records.closed(s) for s in (nothing, marked, closed)] == [False, False, True]


@pytest.mark.parametrize(
    ("phase", "reason", "state"),
    [
        (Phase.SUCCEEDED, "", "FINISHED"),
        (Phase.FAILED, "OOMKilled", "FAILED"),
        (Phase.FAILED, "Cancelled", "KILLED"),
        (Phase.CANCELLED, "Cancelled", "KILLED"),
    ],
)
def test_phases_have_their_mlflow_state(phase: Phase, reason: str, state: str) -> None:
    assert records.mlflow_state(phase, reason) == state


def test_an_object_that_does_not_parse_names_the_field_and_the_remedy() -> None:
    with pytest.raises(InvalidObjectError, match=r"^spec\.image: Field required; delete the TrainingRun"):
        parse(TrainingRun, {"metadata": {"name": "a"}, "spec": {}})


def test_fields_of_a_newer_version_are_ignored() -> None:
    body = {"metadata": {"name": "a", "newer": 1}, "spec": {"image": "x", "newer": 1}, "status": {"newer": 1}}
    assert parse(TrainingRun, body).spec.image == "x"
