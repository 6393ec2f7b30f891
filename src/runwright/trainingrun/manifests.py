"""Pure builders of the child objects: Job, headless Service, the ConfigMaps with the code and with authorities.

Each is POSTed once and never applied again: a Job's template is immutable, and an operator upgrade must not touch
running Jobs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRun, TrainingRunSpec
from runwright.names import (
    ANNOTATION_PARAMETERS,
    ANNOTATION_STOP,
    API_VERSION,
    CA_FILE,
    CONTROL_DIR,
    LABEL_ATTEMPT,
    LABEL_MLFLOW_RUN_ID,
    LABEL_RUN,
    LABEL_RUN_UID,
    MASTER_PORT,
    PARAMS_FILE,
    STOP_FILE,
    TRAINER_CONTAINER,
    WORKSPACE,
)
from runwright.ports import Key
from runwright.trainingrun import checkpoints
from runwright.trainingrun.environment import Tracked, base_name, environment, job_name, parameters_json
from runwright.trainingrun.failure_policy import failure_policy
from runwright.trainingrun.fetching import fetching
from runwright.trainingrun.options import Options
from runwright.trainingrun.placement import affinity, queue_labels

MUTABLE: Final = (
    "earlyStopping",
    "inactivity",
    "retry",
    "activeDeadlineSeconds",
    "pendingDeadlineSeconds",
    "gangTimeoutSeconds",
    "podsTTLSecondsAfterFinished",
    "ttlSecondsAfterFinished",
    "suspend",
    "stop",
)
"""Top-level spec fields that may change during a run, hence no part of what identifies it."""
ASIDE: Final = ("rerunPolicy", "managedBy")
"""Fixed fields that say nothing about what is trained: a recorded run is found whatever they were."""


def source_name(run: TrainingRun) -> str:
    """Name of the ConfigMap that holds the code as the run's first attempt saw it."""
    return f"{base_name(run)}-source"


def key(run: TrainingRun) -> Key:
    """The run's namespace and name."""
    return Key(run.metadata.namespace, run.metadata.name)


def spec_hash(spec: TrainingRunSpec) -> str:
    """SHA-256 (first 16 hex digits) of the canonical JSON of all that makes a run what it is.

    Mutable fields and tags are left out, and so is what has its default: a field that a later version adds must not
    make another run of a recorded one.
    """
    content = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    content = {k: v for k, v in content.items() if k not in (*MUTABLE, *ASIDE)}
    if tracking := {k: v for k, v in content.pop("tracking", {}).items() if k != "tags"}:
        content["tracking"] = tracking
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def labels(run: TrainingRun, *, attempt: int | None = None, run_id: str = "") -> dict[str, str]:
    """Labels of every child object; ours win over the user's ``podLabels``."""
    found = {
        "app.kubernetes.io/name": "runwright-trainer",
        "app.kubernetes.io/instance": run.metadata.name,
        "app.kubernetes.io/component": "trainer",
        "app.kubernetes.io/part-of": "runwright",
        "app.kubernetes.io/managed-by": "runwright",
        LABEL_RUN: run.metadata.name,
        LABEL_RUN_UID: run.metadata.uid,
    }
    if attempt is not None:
        found[LABEL_ATTEMPT] = str(attempt)
    if run_id:
        found[LABEL_MLFLOW_RUN_ID] = run_id
    return found


def _metadata(run: TrainingRun, name: str, **extra: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": run.metadata.namespace,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "TrainingRun",
                "name": run.metadata.name,
                "uid": run.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
        **extra,
    }


# ---------------------------------------------------------------------------------------------------- code


def source_files(spec: TrainingRunSpec, config_map_keys: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """(ConfigMap key, path below the workspace) of each file of code, in order of path.

    Inline paths may hold ``/``, which a ConfigMap's key may not: those keys are numbered.
    """
    if spec.source is None:
        return ()
    if spec.source.inline is not None:
        return tuple((f"file-{n}", path) for n, path in enumerate(sorted(spec.source.inline.files)))
    return tuple((name, name) for name in sorted(config_map_keys))


def source_config_map(run: TrainingRun, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Build the immutable ConfigMap with the code: of ``inline``, or a copy of the user's (`found`, as read).

    The copy keeps later attempts on the code of the first, whatever happens to the original.
    """
    spec = run.spec
    content: dict[str, Any]
    if spec.source is not None and spec.source.inline is not None:
        files = spec.source.inline.files
        content = {"data": {name: files[path] for name, path in source_files(spec)}}
    else:
        content = {part: dict((found or {})[part]) for part in ("data", "binaryData") if (found or {}).get(part)}
    meta = _metadata(run, source_name(run), labels=labels(run))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "immutable": True, **content}


# ---------------------------------------------------------------------------------------------------- authorities


def ca_name(run: TrainingRun, ca_bundle: str) -> str:
    """Name of the ConfigMap with the tracking server's authorities; others get another, so that none ever changes."""
    return f"{base_name(run)}-ca-{hashlib.sha256(ca_bundle.encode()).hexdigest()[:8]}"


def ca_config_map(run: TrainingRun, ca_bundle: str) -> dict[str, Any]:
    """Build the immutable ConfigMap with the authorities that the pods' MLflow client is to trust.

    The stack may be in another namespace, where pods cannot mount anything from.
    """
    meta = _metadata(run, ca_name(run, ca_bundle), labels=labels(run))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "immutable": True,
        "data": {_file_name(CA_FILE): ca_bundle},
    }


# ---------------------------------------------------------------------------------------------------- checkpoints


def checkpoint_claim(run: TrainingRun) -> dict[str, Any]:
    """The run's own claim: it outlives all attempts and goes with the TrainingRun."""
    meta = _metadata(run, checkpoints.claim_name(run), labels=labels(run))
    spec = checkpoints.claim_spec(run.spec)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


# ---------------------------------------------------------------------------------------------------- Service


def service(run: TrainingRun) -> dict[str, Any]:
    """Headless Service that gives the pods of a run of several nodes their DNS names, before they are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, base_name(run), labels=labels(run)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL_RUN_UID: run.metadata.uid},
            "ports": [{"name": "rendezvous", "port": MASTER_PORT}],
        },
    }


# ---------------------------------------------------------------------------------------------------- Job


def _command(spec: TrainingRunSpec) -> dict[str, list[str]]:
    command = list(spec.command or ())
    if spec.uses_torchrun:
        program = command[0].rsplit("/", 1)[-1]
        python = command[0] if program.startswith("python") else "python3"
        command = [python, "-m", "torch.distributed.run", "--no-python", *command]
    return {name: value for name, value in (("command", command), ("args", list(spec.args or ()))) if value}


def _resources(spec: TrainingRunSpec, *, devices: bool = True) -> dict[str, Any]:
    """Requests and limits: CPU is requested only, memory is limited to what it requests, GPUs are both."""
    per_node = spec.resources_per_node
    requests, limits = {}, {}
    if per_node.cpu:
        requests["cpu"] = per_node.cpu
    for name, value in (("memory", per_node.memory), ("ephemeral-storage", per_node.ephemeral_storage)):
        if value:
            requests[name] = limits[name] = value
    if per_node.gpus and devices:
        gpu = per_node.gpu_resource_name or "nvidia.com/gpu"
        requests[gpu] = limits[gpu] = str(per_node.gpus)
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}


def _file_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _control_volume(run: TrainingRun, ca_bundle: str) -> dict[str, Any]:
    """What the operator tells the pods in files."""
    annotation = f"metadata.annotations['{ANNOTATION_PARAMETERS}']"
    stop = f"metadata.annotations['{ANNOTATION_STOP}']"
    told = {
        "items": [
            {"path": _file_name(PARAMS_FILE), "fieldRef": {"fieldPath": annotation}},
            {"path": _file_name(STOP_FILE), "fieldRef": {"fieldPath": stop}},
        ]
    }
    if not ca_bundle:
        return {"name": "control", "downwardAPI": told}
    name = _file_name(CA_FILE)
    authorities = {"name": ca_name(run, ca_bundle), "items": [{"key": name, "path": name}]}
    return {"name": "control", "projected": {"sources": [{"downwardAPI": told}, {"configMap": authorities}]}}


def _volumes(
    run: TrainingRun, files: Sequence[tuple[str, str]], ca_bundle: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod, and where the trainer mounts them."""
    spec = run.spec
    volumes: list[dict[str, Any]] = [
        {"name": "workspace", "emptyDir": {}},
        _control_volume(run, ca_bundle),
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "workspace", "mountPath": WORKSPACE},
        {"name": "control", "mountPath": CONTROL_DIR, "readOnly": True},
    ]
    if files:
        volumes.append({"name": "source", "configMap": {"name": source_name(run)}})
        # One mount per file keeps the workspace itself writable.
        mounts += [
            {"name": "source", "mountPath": f"{WORKSPACE}/{path}", "subPath": name, "readOnly": True}
            for name, path in files
        ]
    if spec.shared_memory or spec.resources_per_node.gpus or spec.processes_per_node > 1:
        size = {"sizeLimit": spec.shared_memory} if spec.shared_memory else {}
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", **size}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108  # POSIX shared memory, not a file
    more_volumes, more_mounts = checkpoints.volume(run)
    volumes += more_volumes
    mounts += more_mounts
    for volume in spec.volumes:
        content = volume.to_dict()
        mount: dict[str, Any] = {
            part: content.pop(part) for part in ("mountPath", "readOnly", "subPath") if part in content
        }
        volumes.append(content)
        mounts.append({"name": volume.name, **mount})
    return volumes, mounts


def _pod_template(
    run: TrainingRun,
    attempt: int,
    tracked: Tracked | None,
    files: Sequence[tuple[str, str]],
    options: Options,
) -> dict[str, Any]:
    spec = run.spec
    volumes, mounts = _volumes(run, files, tracked.server.ca_bundle if tracked else "")
    fetched = fetching(run, attempt, _resources(spec, devices=False), options)
    trainer = {
        "name": TRAINER_CONTAINER,
        "image": spec.image,
        **_command(spec),
        "workingDir": spec.working_dir,
        "env": environment(run, attempt, tracked, options),
        "resources": _resources(spec),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*mounts, *fetched.mounts],
    }
    if spec.image_pull_policy:
        trainer["imagePullPolicy"] = spec.image_pull_policy
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service named mlflow would inject MLFLOW_PORT=tcp://...
        "terminationGracePeriodSeconds": spec.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": spec.run_as_user,
            "runAsGroup": spec.run_as_group,
            "fsGroup": spec.fs_group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"initContainers": list(fetched.containers)} if fetched.containers else {}),
        "containers": [trainer],
        "volumes": [*volumes, *fetched.volumes],
    }
    if spec.num_nodes > 1:
        pod["subdomain"] = base_name(run)
    optional: dict[str, Any] = {
        "nodeSelector": dict(spec.node_selector),
        "tolerations": [t.to_dict() for t in spec.tolerations],
        "imagePullSecrets": [s.to_dict() for s in spec.image_pull_secrets],
        "priorityClassName": spec.priority_class_name,
        "runtimeClassName": spec.runtime_class_name,
        "serviceAccountName": spec.service_account_name,
        "affinity": affinity(run),
    }
    pod |= {name: value for name, value in optional.items() if value}
    run_id = tracked.run_id if tracked else ""
    return {
        "metadata": {
            "labels": {**spec.pod_labels, **labels(run, attempt=attempt, run_id=run_id)},
            "annotations": {**spec.pod_annotations, ANNOTATION_PARAMETERS: parameters_json(spec)},
        },
        "spec": pod,
    }


def job(
    run: TrainingRun,
    attempt: int,
    tracked: Tracked | None,
    files: Sequence[tuple[str, str]],
    options: Options,
) -> dict[str, Any]:
    """Build the Indexed Job of one attempt: all nodes at once, one failed pod ends it, its cause stays in the Job."""
    nodes = run.spec.num_nodes
    run_id = tracked.run_id if tracked else ""
    found = {**labels(run, attempt=attempt, run_id=run_id), **queue_labels(run)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(run, job_name(run, attempt), labels=found),
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": failure_policy(run.spec),
            "template": _pod_template(run, attempt, tracked, files, options),
        },
    }
