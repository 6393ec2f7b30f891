"""What the CRDs make the API server do beside refusing: defaults, columns, selectors, and room for big runs."""

from typing import Any

import pytest

from tests.apis.server import Refused, Server

pytestmark = pytest.mark.contract


def run(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": {"image": "example/trainer:1", **spec},
    }


STATUS = {
    "phase": "Running",
    "observedGeneration": 1,
    "attempt": 2,
    "tracking": {"experiment": "mnist", "runId": "0123456789abcdef"},
    "objective": {"metric": "accuracy", "value": "0.9821"},
    "progress": {"percentage": 40, "estimatedRemainingSeconds": 90},
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "PodsReady",
            "message": f"about {kind}",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in ("Ready", "Running")
    ],
}


def test_columns_show_the_status(server: Server) -> None:
    stored = server.create(run("columns", numNodes=2, command=["train"]))
    server.replace_status({**stored, "status": STATUS})
    row = server.row("TrainingRun", "columns")
    assert row.pop("Age")
    assert row == {
        "Name": "columns",
        "Phase": "Running",
        "Progress": 40,
        "Metric": "0.9821",
        "Attempt": 2,
        "Experiment": "mnist",
        "Run-ID": "0123456789abcdef",
        "Nodes": 2,
        "ETA": 90,
        "Message": "about Running",
    }


def test_a_new_run_has_an_observed_generation_that_tools_read_as_in_progress(server: Server) -> None:
    assert server.create(run("fresh"))["status"] == {"observedGeneration": -1}


def test_runs_are_selected_by_phase(server: Server) -> None:
    for name, phase in (("select-a", "Succeeded"), ("select-b", "Running")):
        stored = server.create(run(name))
        server.replace_status({**stored, "status": {"phase": phase}})
    server.create(run("select-c"))
    assert server.names("TrainingRun", "status.phase=Succeeded") & {"select-a", "select-b", "select-c"} == {"select-a"}
    unfinished = server.names("TrainingRun", "status.phase!=Succeeded,status.phase!=Failed")
    assert unfinished & {"select-a", "select-b", "select-c"} == {"select-b", "select-c"}


def test_runs_with_a_time_to_live_are_selected(server: Server) -> None:
    for name, ttl in (
        ("ttl-a", {"ttlSecondsAfterFinished": 0}),
        ("ttl-b", {"ttlSecondsAfterFinished": 60}),
        ("ttl-c", {}),
    ):
        server.create(run(name, **ttl))
    assert server.names("TrainingRun", "spec.ttlSecondsAfterFinished!=") & {"ttl-a", "ttl-b", "ttl-c"} == {
        "ttl-a",
        "ttl-b",
    }


def test_a_status_write_changes_no_spec_and_a_spec_write_no_status(server: Server) -> None:
    stored = server.create(run("subresource"))
    answer = server.replace_status({**stored, "spec": {"image": "other"}, "status": {"phase": "Pending"}})
    assert answer["spec"] == stored["spec"]
    answer = server.replace({**answer, "status": {"phase": "Failed"}})
    assert answer["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Done"}, "status.phase: Unsupported value"),
        ({"progress": {"percentage": 101}}, "status.progress.percentage: Invalid value"),
        ({"failure": {"reason": "Error", "logTail": "x" * 2049}}, "status.failure.logTail: Too long"),
        ({"metrics": [{"name": f"m{n}", "value": "1"} for n in range(65)]}, "status.metrics: Too many: 65"),
        ({"attempts": [{"number": n} for n in range(1, 12)]}, "status.attempts: Too many: 11"),
        ({"attempts": [{"number": 1}, {"number": 1}]}, "status.attempts[1]: Duplicate value"),
        ({"metrics": [{"name": "m", "value": 0.5}]}, "status.metrics[0].value: Invalid value"),
    ],
)
def test_a_status_out_of_bounds_is_refused(server: Server, status: dict[str, Any], expected: str) -> None:
    stored = server.create_or_get(run("status-bounds"))
    with pytest.raises(Refused) as refusal:
        server.replace_status({**stored, "status": status})
    assert any(cause.startswith(expected) for cause in refusal.value.causes), refusal.value.causes


def test_steps_are_64_bit(server: Server) -> None:
    stored = server.create(run("steps"))
    step = 2**63 - 1
    answer = server.replace_status({**stored, "status": {"metrics": [{"name": "m", "value": "1", "step": step}]}})
    assert answer["status"]["metrics"][0]["step"] == step


def text(count: int, length: int) -> list[str]:
    """Return `count` different texts of `length` letters."""
    return [f"a{number:0{length - 1}d}" for number in range(count)]


BIG: dict[str, dict[str, Any]] = {
    "parameters": {"parameters": dict.fromkeys(text(100, 100), "x" * 2048)},
    "tags": {"tracking": {"tags": dict.fromkeys(text(50, 250), "x" * 4096)}},
    "files": {"source": {"inline": {"files": dict.fromkeys(text(64, 253), "x" * 8192)}}},
    "one-file-per-level": {
        "source": {"inline": {"files": dict.fromkeys(("a/" * 126 + "b", "/".join("a" * 127)), "x")}}
    },
    "env": {"env": [{"name": name, "value": "x" * 4096} for name in text(128, 128)]},
    "env-with-seed": {"seed": 1, "env": [{"name": name, "value": ""} for name in text(128, 128)]},
    "args": {"args": ["x" * 4096] * 256, "command": ["x" * 8192] * 8},
    "volumes": {
        "volumes": [
            {"name": name, "mountPath": "/" + "a/" * 200 + name, "subPath": "a/" * 200 + "b", "emptyDir": {}}
            for name in text(16, 63)
        ]
    },
    "labels": {
        field: {f"{'.'.join(['a' * 63] * 3)}.{'b' * 60}/{name}": "x" * 63 for name in text(32, 63)}
        for field in ("nodeSelector", "podLabels", "podAnnotations")
    },
    "tolerations": {"tolerations": [{"key": key, "value": "x" * 63} for key in text(32, 316)]},
}
"""Specs at their bounds, as far as a request of 1.5 MB goes: each key and value that a rule reads is of full length."""


@pytest.mark.parametrize("name", BIG)
def test_a_run_at_the_bounds_costs_no_more_than_the_server_allows(server: Server, name: str) -> None:
    """CEL's cost is limited at run time, too: what the schema allows must not fail for it, neither new nor updated."""
    stored = server.create(run(f"big-{name}", **BIG[name]))
    stored["spec"]["activeDeadlineSeconds"] = 60
    assert server.replace(stored)["spec"]["activeDeadlineSeconds"] == 60


def test_inline_files_are_bounded_together(server: Server) -> None:
    files = dict.fromkeys(("a.py", "b.py"), "x" * 262144)
    server.create(run("files-at-the-bound", source={"inline": {"files": files}}), dry_run=True)
    with pytest.raises(Refused, match=r"files must have at most 524288 bytes together; use source\.configMap"):
        server.create(run("files", source={"inline": {"files": {**files, "c.py": "x"}}}), dry_run=True)
    with pytest.raises(Refused, match="bytes together"):
        server.create(
            run("files", source={"inline": {"files": {"a.py": "\u00e9" * 262144, "b.py": "x"}}}), dry_run=True
        )


def test_the_tracking_server_may_move(server: Server) -> None:
    external = {"trackingUri": "http://mlflow:5000"}
    stored = server.create(
        {
            "apiVersion": "runwright.dev/v1alpha1",
            "kind": "TrackingStack",
            "metadata": {"name": "moving"},
            "spec": {"server": {"external": external}},
        }
    )
    stored["spec"]["server"]["external"] = {"trackingUri": "http://other:5000", "uiUrl": "https://mlflow.example.com"}
    assert server.replace(stored)["metadata"]["generation"] == 2
