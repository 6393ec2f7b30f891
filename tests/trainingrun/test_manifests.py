"""Manifests against golden YAML: ``UPDATE_GOLDEN=1`` writes the files anew, and the diff is what to review."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runwright.apis import markers
from runwright.apis.crd import annotated_schema
from runwright.apis.v1alpha1 import TrainingRun
from runwright.apis.v1alpha1.common import DNS_LABEL
from runwright.trainingrun import manifests
from runwright.trainingrun.environment import Tracked
from tests.trainingrun.samples import OPTIONS, SERVER, UID, run

GOLDEN = Path(__file__).parent / "golden"
TRACKED = Tracked(SERVER, "17", "3f0e9c")
USERS = {"data": {"train.py": "print('hello')\n", "data.csv": "1,2\n"}, "binaryData": {"weights.bin": "AAEC"}}

CASES: Mapping[str, dict[str, Any]] = {
    "single-cpu": {
        "command": ["python", "train.py"],
        "args": ["--lr", "$(PARAM_lr)"],
        "parameters": {"lr": "0.035", "hidden_sizes": "[128, 64]", "note": "cost $5 and $(HOME)"},
        "seed": 7,
        "resourcesPerNode": {"cpu": "500m", "memory": "1Gi"},
    },
    "two-node-torchrun": {
        "command": ["python3.12", "train.py"],
        "numNodes": 2,
        "numProcPerNode": 2,
        "resourcesPerNode": {"cpu": 2, "memory": "4Gi"},
    },
    "two-nodes-without-launcher": {"command": ["./train"], "numNodes": 2, "launcher": "None"},
    "gpu-with-shm": {
        "command": ["/opt/train.sh"],
        "resourcesPerNode": {"cpu": "8", "memory": "64Gi", "gpus": 4, "ephemeralStorage": "100Gi"},
        "sharedMemory": "16Gi",
    },
    "inline-source": {
        "command": ["python", "train.py"],
        "source": {"inline": {"files": {"train.py": "import pkg.model\n", "pkg/model.py": "", "pkg/__init__.py": ""}}},
    },
    "config-map-source": {"command": ["python", "train.py"], "source": {"configMap": {"name": "code"}}},
    "all-scheduling-fields": {
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry"}],
        "workingDir": "/srv",
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "high",
        "runtimeClassName": "nvidia",
        "serviceAccountName": "trainer",
        "podLabels": {"team": "vision", "app.kubernetes.io/part-of": "not-yours"},
        "podAnnotations": {"note": "hello"},
        "runAsUser": 1234,
        "runAsGroup": 1235,
        "fsGroup": 1236,
        "terminationGracePeriodSeconds": 5,
        "resourcesPerNode": {"gpus": 1, "gpuResourceName": "amd.com/gpu"},
        "volumes": [
            {"name": "data", "mountPath": "/data", "readOnly": True, "persistentVolumeClaim": {"claimName": "mnist"}},
            {"name": "scratch", "mountPath": "/scratch", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "conf", "mountPath": "/etc/conf", "subPath": "a/b", "configMap": {"name": "conf"}},
            {"name": "keys", "mountPath": "/keys", "secret": {"secretName": "keys"}},
        ],
    },
    "user-env": {
        "seed": 0,
        "env": [
            {"name": "OMP_NUM_THREADS", "value": "2"},
            {"name": "LR_AGAIN", "value": "$(PARAM_lr)"},
            {"name": "MLFLOW_HTTP_REQUEST_TIMEOUT", "value": "5"},
            {"name": "PYTHONUNBUFFERED", "value": ""},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token", "optional": True}}},
        ],
        "parameters": {"lr": "0.1"},
    },
}


def rendered(spec: Mapping[str, Any], *, attempt: int = 1, tracked: Tracked | None = TRACKED) -> str:
    """All child objects of a run as YAML."""
    made = run(**spec)
    objects: list[Any] = []
    keys: tuple[str, ...] = ()
    if made.spec.source is not None:
        keys = (*USERS["data"], *USERS["binaryData"]) if made.spec.source.config_map else ()
        objects.append(manifests.source_config_map(made, USERS))
    if made.spec.num_nodes > 1:
        objects.append(manifests.service(made))
    files = manifests.source_files(made.spec, keys)
    objects.append(manifests.job(made, attempt, tracked, files, OPTIONS))
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


@pytest.mark.parametrize("name", CASES)
def test_manifests_are_as_recorded(name: str) -> None:
    path, text = GOLDEN / f"{name}.yaml", rendered(CASES[name])
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_no_recorded_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_manifests_are_deterministic_whatever_the_order_of_maps(name: str) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(inner) for key, inner in reversed(value.items())}
        return value

    assert rendered(CASES[name]) == rendered(CASES[name])
    one, other = (list(yaml.safe_load_all(rendered(spec))) for spec in (CASES[name], turned(CASES[name])))
    assert one == other


def _pods(text: str) -> dict[str, Any]:
    job = list(yaml.safe_load_all(text))[-1]
    assert job["kind"] == "Job"
    return dict(job["spec"]["template"])


@pytest.mark.parametrize("name", CASES)
def test_every_pod_meets_the_restricted_pod_security_standard(name: str) -> None:
    """kubernetes.io/docs/concepts/security/pod-security-standards, level restricted."""
    pod = _pods(rendered(CASES[name]))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    allowed = {"name", "emptyDir", "configMap", "downwardAPI", "persistentVolumeClaim", "secret"}
    assert all(set(volume) <= allowed for volume in pod["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_our_labels_win_over_the_users() -> None:
    labels = _pods(rendered(CASES["all-scheduling-fields"]))["metadata"]["labels"]
    assert labels["app.kubernetes.io/part-of"] == "runwright"
    assert labels["team"] == "vision"


def test_the_controller_is_the_owner_of_every_child() -> None:
    for obj in yaml.safe_load_all(rendered(CASES["two-node-torchrun"])):
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["controller"], owner["uid"], owner["name"]) == (True, UID, "mnist")


def test_without_tracking_no_mlflow_variable_is_set() -> None:
    env = _pods(rendered(CASES["single-cpu"], tracked=None))["spec"]["containers"][0]["env"]
    assert not [e["name"] for e in env if e["name"].startswith("MLFLOW")]


def test_attempts_differ_in_name_label_and_variable_only() -> None:
    first, second = rendered(CASES["single-cpu"], attempt=1), rendered(CASES["single-cpu"], attempt=2)
    changed = {
        line.strip() for a, b in zip(first.splitlines(), second.splitlines(), strict=True) for line in (a,) if a != b
    }
    assert changed == {"name: mnist-0a1b2c3d-1", "runwright.dev/attempt: '1'", "value: '1'"}


# ---------------------------------------------------------------------------------------------------- names

NAMES = st.from_regex(r"\A[a-z]([-a-z0-9]{0,61}[a-z0-9])?\Z")


@given(NAMES, st.integers(1, 11_000))
def test_names_of_children_are_dns_labels_with_room_for_the_pods_suffixes(name: str, attempt: int) -> None:
    made = run(name=name, numNodes=4096, command=["x"])
    job = manifests.job(made, attempt, None, (), OPTIONS)["metadata"]["name"]
    for child in (f"{job}-4095", manifests.source_name(made), manifests.service(made)["metadata"]["name"]):
        assert len(child) <= 63
        assert re.fullmatch(DNS_LABEL.strip("^$"), child)


@given(NAMES, NAMES)
def test_two_objects_never_share_a_child_name(one: str, other: str) -> None:
    first = run(name=one)
    second = TrainingRun.from_dict(
        {"metadata": {"name": other, "namespace": "team-a", "uid": "ffffffff-1"}, "spec": {"image": "x"}}
    )
    assert manifests.source_name(first) != manifests.source_name(second)


# ---------------------------------------------------------------------------------------------------- hash

MUTABLE: dict[str, Any] = {
    "retry": {"maxFailures": 3},
    "activeDeadlineSeconds": 5,
    "podsTTLSecondsAfterFinished": 5,
    "tracking": {"tags": {"a": "b"}},
}


@given(st.sets(st.sampled_from(sorted(MUTABLE))))
def test_mutable_fields_are_no_part_of_what_identifies_a_run(chosen: set[str]) -> None:
    assert manifests.spec_hash(run(**{k: MUTABLE[k] for k in chosen}).spec) == manifests.spec_hash(run().spec)


def test_what_is_left_out_is_what_the_api_lets_change() -> None:
    fields = annotated_schema(TrainingRun)["properties"]["spec"]["properties"]
    assert {name for name, field in fields.items() if field.get(markers.MUTABLE)} == set(manifests.MUTABLE)
    tracking = fields["tracking"]["properties"]
    assert [name for name, field in tracking.items() if field.get(markers.MUTABLE)] == ["tags"]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "trainer:2"},
        {"parameters": {"lr": "1"}},
        {"seed": 1},
        {"numNodes": 2, "command": ["x"]},
        {"tracking": {"experiment": "other"}},
        {"env": [{"name": "A", "value": "b"}]},
        {"source": {"inline": {"files": {"a": "b"}}}},
    ],
)
def test_everything_else_is(change: dict[str, Any]) -> None:
    assert manifests.spec_hash(run(**change).spec) != manifests.spec_hash(run().spec)
