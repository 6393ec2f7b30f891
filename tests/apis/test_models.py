"""The models as the operator uses them: reading what a server sent, writing what a server takes."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from runwright import names
from runwright.apis import crd
from runwright.apis.v1alpha1 import (
    ApiModel,
    Condition,
    Phase,
    Timestamp,
    TrackingStack,
    TrainingRun,
    TrainingRunSpec,
    TrainingRunStatus,
    format_timestamp,
)


def spec(**fields: Any) -> TrainingRunSpec:
    return TrainingRunSpec.from_dict({"image": "example/trainer:1", **fields})


SENT = {
    "apiVersion": "runwright.dev/v1alpha1",
    "kind": "TrainingRun",
    "metadata": {
        "name": "mnist",
        "namespace": "team-a",
        "uid": "1-2",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-01-01T10:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "image": "example/trainer:1",
        "podsTTLSecondsAfterFinished": 5,
        "resourcesPerNode": {"cpu": 2, "memory": "4Gi"},
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "addedInALaterVersion": {"x": 1},
    },
    "status": {"observedGeneration": -1},
}


def test_reads_what_a_server_sends() -> None:
    run = TrainingRun.from_dict(SENT)
    assert run.metadata.creation_timestamp == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert run.spec.pods_ttl_seconds_after_finished == 5
    assert run.spec.resources_per_node.cpu == "2"
    source = run.spec.env[0].value_from
    assert source is not None
    assert source.secret_key_ref is not None
    assert source.secret_key_ref.key == "k"


def test_writes_the_apis_names_and_leaves_out_what_is_absent() -> None:
    written = TrainingRun.from_dict(SENT).to_dict()
    assert written["spec"]["podsTTLSecondsAfterFinished"] == 5
    assert written["spec"]["env"] == SENT["spec"]["env"]  # type: ignore[index]
    assert "seed" not in written["spec"]
    assert "addedInALaterVersion" not in written["spec"]
    assert written["metadata"]["creationTimestamp"] == "2026-01-01T10:00:00Z"


def test_reading_what_was_written_changes_nothing() -> None:
    run = TrainingRun.from_dict(SENT)
    assert TrainingRun.from_dict(run.to_dict()) == run


def test_defaults_of_a_minimal_run() -> None:
    minimal = spec()
    assert (minimal.num_nodes, minimal.working_dir, minimal.termination_grace_period_seconds) == (1, "/workspace", 60)
    assert (minimal.run_as_user, minimal.run_as_group, minimal.fs_group) == (1000, 1000, 1000)
    assert minimal.pods_ttl_seconds_after_finished == 3600
    retry = minimal.retry
    assert (retry.max_failures, retry.max_disruptions, retry.backoff_seconds, retry.max_backoff_seconds) == (
        0,
        20,
        10,
        600,
    )
    assert minimal.tracking.experiment is None
    assert minimal.command is None


@pytest.mark.parametrize(
    ("fields", "processes", "torchrun"),
    [
        ({}, 1, False),
        ({"numNodes": 2}, 1, True),
        ({"numProcPerNode": 2}, 2, True),
        ({"resourcesPerNode": {"gpus": 0}}, 1, False),
        ({"resourcesPerNode": {"gpus": 1}}, 1, False),
        ({"resourcesPerNode": {"gpus": 4}}, 4, True),
        ({"resourcesPerNode": {"gpus": 4}, "numProcPerNode": 1}, 1, False),
        ({"numNodes": 2, "launcher": "None"}, 1, False),
        ({"launcher": "Torchrun"}, 1, True),
    ],
)
def test_launcher_and_processes_by_default(fields: dict[str, Any], processes: int, torchrun: bool) -> None:
    assert spec(**fields).processes_per_node == processes
    assert spec(**fields).uses_torchrun is torchrun


def test_values_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec().num_nodes = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"image": None}, r"spec\.image"),
        ({"numNodes": 0}, "numNodes"),
        ({"resourcesPerNode": {"cpu": True}}, r"resourcesPerNode\.cpu"),
        ({"resourcesPerNode": {"cpu": 0.5}}, r"resourcesPerNode\.cpu"),
        ({"parameters": {"lr": 0.1}}, r"parameters\.lr"),
    ],
)
def test_a_stored_object_of_another_shape_is_refused_by_field(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        TrainingRun.from_dict({**SENT, "spec": {"image": "example/trainer:1", **fields}})


def test_terminal_phases() -> None:
    assert {phase for phase in Phase if phase.terminal} == {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}


def test_a_status_is_plain_json() -> None:
    condition = Condition(
        type="Running",
        status="True",
        reason="PodsReady",
        message="",
        last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    status = TrainingRunStatus(phase=Phase.RUNNING, observed_generation=3, attempt=1, conditions=(condition,))
    assert status.to_dict() == {
        "phase": "Running",
        "observedGeneration": 3,
        "attempt": 1,
        "failures": 0,
        "disruptions": 0,
        "runningSeconds": 0,
        "attempts": [],
        "conditions": [
            {
                "type": "Running",
                "status": "True",
                "reason": "PodsReady",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "metrics": [],
    }


TIMESTAMP: TypeAdapter[datetime] = TypeAdapter(Timestamp)


@given(
    st.datetimes(
        min_value=datetime(1000, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
        timezones=st.timedeltas(timedelta(hours=-12), timedelta(hours=14)).map(
            lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
        ),
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - as above
    )
)
def test_timestamps_survive_the_way_to_the_server_and_back(moment: datetime) -> None:
    value = TIMESTAMP.validate_python(moment)
    written = TIMESTAMP.dump_python(value, mode="json")
    assert written == format_timestamp(moment)
    assert TIMESTAMP.validate_python(written) == value == moment.replace(microsecond=0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        TIMESTAMP.validate_python(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_micro_times_are_cut() -> None:
    assert TIMESTAMP.validate_python("2026-01-01T00:00:00.999999Z") == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("model", [TrainingRun, TrackingStack])
def test_an_object_of_another_kind_is_refused(model: type[ApiModel]) -> None:
    with pytest.raises(ValidationError, match="kind"):
        model.from_dict({**SENT, "kind": "Job"})


def test_names_that_other_parts_use_are_the_apis() -> None:
    assert (crd.GROUP, crd.VERSION) == (names.GROUP, names.VERSION)
    assert TrainingRun.from_dict(SENT).api_version == names.API_VERSION
    assert spec().working_dir == names.WORKSPACE
    rules = str(crd.crd_for(TrainingRun))
    assert f"'{names.WORKSPACE}', '{names.CONTROL_DIR}'" in rules
