"""The environment contract of training pods: tracking, parameters, rendezvous."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRun, TrainingRunSpec
from runwright.names import CA_FILE, MASTER_PORT, PARAMS_FILE, STOP_FILE, WORKSPACE
from runwright.ports import TrackingServer
from runwright.trainingrun.options import Options

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"

PROCESS_ENV: Final[Mapping[str, str]] = {
    "USER": "runwright",  # images seldom have a name for runAsUser, and torch.compile asks for one
    "PYTHONUNBUFFERED": "1",
}

# A tracker that restarts must not fail a training; one that is gone must not hold a GPU for hours.
TRACKER_CLIENT_ENV: Final[Mapping[str, str]] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "10",  # the highest the client takes: about 10 min of outage
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True, slots=True)
class Tracked:
    """The coordinates of the MLflow run that go into the pods."""

    server: TrackingServer
    experiment_id: str
    run_id: str


def base_name(run: TrainingRun) -> str:
    """``slug(name)[:40]-uid8``: unique per object, a DNS label, and leaves room for Job's suffixes."""
    slug = re.sub(r"[^a-z0-9-]", "-", run.metadata.name.lower())[:40].strip("-")
    return f"{slug}-{run.metadata.uid[:8]}"


def job_name(run: TrainingRun, attempt: int) -> str:
    """Name of an attempt's Job; deterministic, so that a repeated POST meets itself."""
    return f"{base_name(run)}-{attempt}"


def environment(run: TrainingRun, attempt: int, tracked: Tracked | None, options: Options) -> list[dict[str, Any]]:
    """Build the trainer's ``env``: ours first, so that the user's values may refer to it as ``$(PARAM_lr)``."""
    spec, meta = run.spec, run.metadata
    chosen = {e.name for e in spec.env}
    values: dict[str, str] = {
        "HOME": WORKSPACE,
        **{name: value for name, value in PROCESS_ENV.items() if name not in chosen},
        "RUNWRIGHT_RUN_NAME": meta.name,
        "RUNWRIGHT_NAMESPACE": meta.namespace,
        "RUNWRIGHT_ATTEMPT": str(attempt),
        "RUNWRIGHT_PARAMS_FILE": PARAMS_FILE,
        "RUNWRIGHT_STOP_FILE": STOP_FILE,
        **{f"PARAM_{name}": value for name, value in sorted(spec.parameters.items())},
    }
    if spec.checkpoint is not None:
        values["RUNWRIGHT_CHECKPOINT_DIR"] = spec.checkpoint.mount_path
    if spec.seed is not None:
        values |= {"RUNWRIGHT_SEED": str(spec.seed), "PYTHONHASHSEED": str(spec.seed)}
    if tracked is not None:
        values |= {
            "MLFLOW_TRACKING_URI": tracked.server.uri,
            "MLFLOW_EXPERIMENT_ID": tracked.experiment_id,
            "MLFLOW_RUN_ID": tracked.run_id,
        }
        if tracked.server.ca_bundle:
            values["MLFLOW_TRACKING_SERVER_CERT_PATH"] = CA_FILE
        values |= {name: value for name, value in TRACKER_CLIENT_ENV.items() if name not in chosen}
    # Kubernetes expands $(NAME) in values and makes $ of $$: what we set must arrive verbatim.
    env: list[dict[str, Any]] = [{"name": n, "value": value.replace("$", "$$")} for n, value in values.items()]
    if tracked is not None and tracked.server.client_secret:
        env += _login(tracked.server.client_secret)
    env += _distributed_env(run, attempt, options)
    return env + [e.to_dict() for e in spec.env]


def _login(secret: str) -> list[dict[str, Any]]:
    """The login by reference: the password stands in no object but its Secret."""
    return [
        {
            "name": f"MLFLOW_TRACKING_{key.upper()}",
            "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": False}},
        }
        for key in ("username", "password")
    ]


def _distributed_env(run: TrainingRun, attempt: int, options: Options) -> list[dict[str, Any]]:
    """Rendezvous of torch.distributed: ``PET_*`` for torchrun, ``RANK`` and ``WORLD_SIZE`` for plain processes."""
    spec = run.spec
    nodes, processes = spec.num_nodes, spec.processes_per_node
    torchrun = spec.uses_torchrun
    if nodes == 1 and not torchrun:
        return []
    first = "127.0.0.1"
    if nodes > 1:
        namespace = run.metadata.namespace
        first = f"{job_name(run, attempt)}-0.{base_name(run)}.{namespace}.svc.{options.cluster_domain}"
    rank = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    env: list[dict[str, Any]] = [
        {"name": "MASTER_ADDR", "value": first},
        {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
    ]
    if not torchrun:
        return [*env, {"name": "WORLD_SIZE", "value": str(nodes)}, {"name": "RANK", "valueFrom": rank}]
    return [
        *env,
        {"name": "PET_NNODES", "value": str(nodes)},
        {"name": "PET_NPROC_PER_NODE", "value": str(processes)},
        {"name": "PET_NODE_RANK", "valueFrom": rank},
        {"name": "PET_MASTER_ADDR", "value": first},
        {"name": "PET_MASTER_PORT", "value": str(MASTER_PORT)},
    ]


def parameters_json(spec: TrainingRunSpec) -> str:
    """The content of ``$RUNWRIGHT_PARAMS_FILE``: each value JSON-parsed where it parses, a string elsewhere."""

    def parsed(text: str) -> Any:
        try:
            return json.loads(text, parse_constant=lambda _: text)
        except ValueError:
            return text

    return json.dumps({name: parsed(value) for name, value in sorted(spec.parameters.items())})
