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
from runwright.ports import Key, TrackingServer
from runwright.trainingrun import manifests
from runwright.trainingrun.environment import Tracked
from tests.trainingrun.samples import OPTIONS, SERVER, UID, run

GOLDEN = Path(__file__).parent / "golden"
TRACKED = Tracked(SERVER, "17", "3f0e9c")
USERS = {"data": {"train.py": "print('hello')\n", "data.csv": "1,2\n"}, "binaryData": {"weights.bin": "AAEC"}}

GUARDED = TrackingServer(
    "https://main-mlflow.tracking.svc.cluster.local:5000",
    shared=True,
    operator_secret=Key("tracking", "main-mlflow-operator"),
    client_secret="main-mlflow-client",
    ca_bundle="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
)
SERVERS = {"login-and-authorities": Tracked(GUARDED, "17", "3f0e9c")}
"""Cases tracked elsewhere than the rest."""

CASES: Mapping[str, dict[str, Any]] = {
    "git-and-datasets": {
        "command": ["python", "train.py"],
        "resourcesPerNode": {"cpu": "2", "memory": "8Gi", "gpus": 1},
        "source": {
            "git": {
                "url": "https://git.example.com/team/vision.git",
                "revision": "main",
                "path": "training",
                "credentialsSecretRef": {"name": "git-login"},
            }
        },
        "datasets": [
            {
                "name": "cifar",
                "uri": "s3://datasets/$cifar/v3/",
                "endpoint": "https://minio.storage:9000",
                "credentialsSecretRef": {"name": "s3-login"},
                "sha256": "8c" * 32,
                "cache": {"claimName": "datasets"},
            },
            {"name": "labels", "uri": "s3://datasets/labels.csv", "mountPath": "/labels"},
        ],
    },
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
    "login-and-authorities": {"command": ["python", "train.py"], "parameters": {"lr": "0.1"}},
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
    if tracked is not None and tracked.server.ca_bundle:
        objects.append(manifests.ca_config_map(made, tracked.server.ca_bundle))
    keys: tuple[str, ...] = ()
    if made.spec.source is not None and made.spec.git is None:
        keys = (*USERS["data"], *USERS["binaryData"]) if made.spec.source.config_map else ()
        objects.append(manifests.source_config_map(made, USERS))
    if made.spec.num_nodes > 1:
        objects.append(manifests.service(made))
    files = manifests.source_files(made.spec, keys)
    objects.append(manifests.job(made, attempt, tracked, files, OPTIONS))
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


@pytest.mark.parametrize("name", CASES)
def test_manifests_are_as_recorded(name: str) -> None:
    path, text = GOLDEN / f"{name}.yaml", rendered(CASES[name], tracked=SERVERS.get(name, TRACKED))
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
    pod = _pods(rendered(CASES[name], tracked=SERVERS.get(name, TRACKED)))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    allowed = {"name", "emptyDir", "configMap", "downwardAPI", "projected", "persistentVolumeClaim", "secret"}
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


def test_a_login_reaches_the_pods_by_reference_only() -> None:
    text = rendered(CASES["single-cpu"], tracked=Tracked(GUARDED, "17", "3f0e9c"))
    env = {e["name"]: e for e in _pods(text)["spec"]["containers"][0]["env"]}
    for key in ("username", "password"):
        ref = {"name": "main-mlflow-client", "key": key, "optional": False}
        assert env[f"MLFLOW_TRACKING_{key.upper()}"]["valueFrom"] == {"secretKeyRef": ref}
    assert "main-mlflow-operator" not in text


def test_authorities_are_a_file_of_the_pods_and_never_change_under_them() -> None:
    pod = _pods(rendered(CASES["single-cpu"], tracked=Tracked(GUARDED, "17", "3f0e9c")))["spec"]
    env = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
    (mount,) = (m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "control")
    assert env["MLFLOW_TRACKING_SERVER_CERT_PATH"] == f"{mount['mountPath']}/ca.crt"
    (control,) = (v for v in pod["volumes"] if v["name"] == "control")
    made = manifests.ca_config_map(run(), GUARDED.ca_bundle)
    assert control["projected"]["sources"][1]["configMap"]["name"] == made["metadata"]["name"]
    assert (made["data"], made["immutable"]) == ({"ca.crt": GUARDED.ca_bundle}, True)
    assert manifests.ca_name(run(), "another") != made["metadata"]["name"]


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
    others = (manifests.source_name(made), manifests.ca_name(made, "PEM"), manifests.service(made)["metadata"]["name"])
    for child in (f"{job}-4095", *others):
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
    "ttlSecondsAfterFinished": 5,
    "suspend": True,
    "stop": {"mode": "Finish"},
    "inactivity": {"timeoutSeconds": 60},
    "tracking": {"tags": {"a": "b"}},
}


@given(st.sets(st.sampled_from(sorted(MUTABLE))))
def test_mutable_fields_are_no_part_of_what_identifies_a_run(chosen: set[str]) -> None:
    assert manifests.spec_hash(run(**{k: MUTABLE[k] for k in chosen}).spec) == manifests.spec_hash(run().spec)


@pytest.mark.parametrize("same", [{"rerunPolicy": "IfNotRecorded"}, {"managedBy": "a.b/c"}, {"numNodes": 1}])
def test_what_says_nothing_new_about_the_training_is_none_either(same: dict[str, Any]) -> None:
    assert manifests.spec_hash(run(**same).spec) == manifests.spec_hash(run().spec)


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
