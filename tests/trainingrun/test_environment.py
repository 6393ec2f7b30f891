import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.apis.v1alpha1.trainingrun_pod import RESERVED_ENV, RESERVED_ENV_PREFIXES
from runwright.trainingrun.environment import (
    PROCESS_ENV,
    TRACKER_CLIENT_ENV,
    Tracked,
    environment,
    parameters_json,
)
from tests.trainingrun.samples import OPTIONS, SERVER, run


def values(attempt: int = 1, tracked: Tracked | None = None, **spec: Any) -> dict[str, str]:
    env = environment(run(**spec), attempt, tracked, OPTIONS)
    return {e["name"]: e.get("value", "") for e in env}


def expanded(text: str, env: dict[str, str]) -> str:
    """Port of third_party/forked/golang/expansion of Kubernetes: ``$(NAME)`` is replaced, ``$$`` is one dollar."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and at + 1 < len(text):
            end = text.find(")", at)
            if text[at + 1] == "$":
                out, at = out + "$", at + 2
                continue
            if text[at + 1] == "(" and end > 0:
                name = text[at + 2 : end]
                out, at = out + env.get(name, f"$({name})"), end + 1
                continue
            out, at = out + "$" + text[at + 1], at + 2
            continue
        out, at = out + text[at], at + 1
    return out


@given(st.text(alphabet="a$()HOME", max_size=20))
def test_parameters_arrive_verbatim(value: str) -> None:
    found = values(parameters={"x": value})
    assert expanded(found["PARAM_x"], found) == value


def test_the_contract_of_every_pod() -> None:
    found = values(3, Tracked(SERVER, "17", "run1"), parameters={"lr": "0.1"}, seed=7)
    assert (
        found
        | {
            "HOME": "/workspace",
            "RUNWRIGHT_RUN_NAME": "mnist",
            "RUNWRIGHT_NAMESPACE": "team-a",
            "RUNWRIGHT_ATTEMPT": "3",
            "RUNWRIGHT_PARAMS_FILE": "/runwright/params.json",
            "RUNWRIGHT_SEED": "7",
            "PYTHONHASHSEED": "7",
            "PARAM_lr": "0.1",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
            "MLFLOW_EXPERIMENT_ID": "17",
            "MLFLOW_RUN_ID": "run1",
        }
        == found
    )


def test_a_server_without_login_and_authorities_needs_none() -> None:
    found = values(tracked=Tracked(SERVER, "1", "r"))
    assert [name for name in found if name.startswith("MLFLOW_TRACKING")] == ["MLFLOW_TRACKING_URI"]


def test_every_variable_that_only_the_operator_sets_is_reserved() -> None:
    server = replace(SERVER, uri="https://mlflow", client_secret="login", ca_bundle="PEM")
    ours = set(values(tracked=Tracked(server, "1", "r"), numNodes=2, command=["x"], seed=1))
    by_default = {*PROCESS_ENV, *TRACKER_CLIENT_ENV, "PYTHONHASHSEED"}
    names = {n for n in ours - by_default if not n.startswith(RESERVED_ENV_PREFIXES)}
    assert names <= set(RESERVED_ENV)
    assert {n for n in names if n.startswith("MLFLOW")} == {n for n in RESERVED_ENV if n.startswith("MLFLOW")} - {
        "MLFLOW_EXPERIMENT_NAME"
    }


def test_a_single_process_has_no_rendezvous() -> None:
    assert not {"MASTER_ADDR", "RANK", "WORLD_SIZE", "PET_NNODES"} & set(values())


def test_torchrun_on_one_node_meets_at_home() -> None:
    found = values(command=["x"], numProcPerNode=4)
    assert (found["PET_NNODES"], found["PET_NPROC_PER_NODE"], found["PET_MASTER_ADDR"]) == ("1", "4", "127.0.0.1")


def test_several_nodes_meet_at_the_first_pod_of_the_attempt() -> None:
    found = values(2, command=["x"], numNodes=3)
    first = "mnist-0a1b2c3d-2-0.mnist-0a1b2c3d.team-a.svc.cluster.local"
    assert (found["MASTER_ADDR"], found["PET_MASTER_ADDR"], found["PET_NNODES"]) == (first, first, "3")


def test_processes_without_a_launcher_get_rank_and_world_size() -> None:
    found = values(command=["x"], numNodes=3, launcher="None")
    assert found["WORLD_SIZE"] == "3"
    assert "RANK" in found
    assert "PET_NNODES" not in found


def test_no_variable_is_defined_twice() -> None:
    users = [{"name": name, "value": "x"} for name in ("PYTHONUNBUFFERED", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "OTHER")]
    names = [e["name"] for e in environment(run(env=users), 1, Tracked(SERVER, "1", "r"), OPTIONS)]
    assert len(names) == len(set(names))


def test_the_users_values_come_after_ours() -> None:
    names = list(values(env=[{"name": "MINE", "value": "$(PARAM_lr)"}], parameters={"lr": "1"}))
    assert names.index("PARAM_lr") < names.index("MINE")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", 0.1), ("[1, 2]", [1, 2]), ("true", True), ("null", None), ("1e-3", 0.001), ("adam", "adam"), ("", "")],
)
def test_the_file_holds_values_that_parse_as_such(text: str, value: object) -> None:
    assert json.loads(parameters_json(run(parameters={"x": text}).spec)) == {"x": value}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_stays_text(text: str) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(parameters_json(run(parameters={"x": text}).spec), parse_constant=refuse) == {"x": text}
