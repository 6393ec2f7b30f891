"""What a status and an MLflow run remember of a TrainingRun: read and made in one place."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import yaml

from runwright.apis.v1alpha1 import Condition, Phase, TrainingRun, TrainingRunSpec, TrainingRunStatus
from runwright.apis.v1alpha1.trainingrun_status import AttemptStatus
from runwright.names import (
    API_VERSION,
    TAG_ATTEMPT,
    TAG_CLUSTER,
    TAG_GIT_BRANCH,
    TAG_GIT_COMMIT,
    TAG_GIT_URL,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_SPEC_HASH,
    TAG_UID,
)
from runwright.ports import NewRun, RunStatus, TrackingServer
from runwright.trainingrun.manifests import spec_hash
from runwright.trainingrun.options import Options

DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The C one, where PyYAML was built with it, takes a tenth of the time."""
CREATING_RUN: Final = "CreatingRun"
RUN_CLOSED: Final = "RunClosed"
MLFLOW_STATE: Final[Mapping[Phase, RunStatus]] = {
    Phase.SUCCEEDED: "FINISHED",
    Phase.FAILED: "FAILED",
    Phase.CANCELLED: "KILLED",
}


def condition(status: TrainingRunStatus, kind: str) -> Condition | None:
    """Return the condition of this type."""
    return next((c for c in status.conditions if c.type == kind), None)


def marked(status: TrainingRunStatus) -> bool:
    """Whether a request to create the MLflow run may have gone out."""
    return condition(status, "TrackingAvailable") is not None


def mlflow_state(phase: Phase, reason: str) -> RunStatus:
    """MLflow's state of a run that ended in this phase for this reason."""
    return "KILLED" if reason == "Cancelled" else MLFLOW_STATE[phase]


def closed(status: TrainingRunStatus) -> bool:
    """Whether the terminal state is known to be in MLflow."""
    found = condition(status, "TrackingAvailable")
    return found is not None and found.reason == RUN_CLOSED


def failure_reason(status: TrainingRunStatus) -> str:
    """Why the run failed; ``""`` when it did not."""
    found = condition(status, "Failed")
    return found.reason if found is not None and found.status == "True" else ""


def running_attempt(status: TrainingRunStatus) -> AttemptStatus | None:
    """Return the record of the current attempt if its pods were seen running and it has not ended."""
    if not status.attempts:
        return None
    last = status.attempts[-1]
    return last if last.number == status.attempt and last.end_time is None else None


def running_from(status: TrainingRunStatus) -> datetime | None:
    """Since when the current attempt has been running without a break; None while it does not run."""
    record = running_attempt(status)
    if record is None or record.suspend_time is not None:
        return None
    return record.resume_time or record.start_time


def trained(status: TrainingRunStatus) -> bool:
    """Whether any attempt ever ran."""
    return status.start_time is not None


def parameters(spec: TrainingRunSpec) -> Mapping[str, str]:
    """Parameters to log: the manifest's, verbatim, and the seed unless a parameter has its name."""
    seed = {"seed": str(spec.seed)} if spec.seed is not None else {}
    return {**seed, **spec.parameters}


def changing_tags(run: TrainingRun) -> Mapping[str, str]:
    """Tags that may change during a run: the manifest's, the number of the attempt, and the commit once it is known."""
    return {**run.spec.tracking.tags, TAG_ATTEMPT: str(max(run.status.attempt, 1)), **_git_tags(run)}


def _git_tags(run: TrainingRun) -> Mapping[str, str]:
    """MLflow's own tags of a commit; the user interface links them."""
    git, found = run.spec.git, run.status.resolved
    if git is None or found is None or not found.git_commit:
        return {}
    branch = {TAG_GIT_BRANCH: git.revision} if git.revision and git.revision != found.git_commit else {}
    return {TAG_GIT_COMMIT: found.git_commit, TAG_GIT_URL: git.url, **branch}


def experiment_name(run: TrainingRun, server: TrackingServer) -> str:
    """Name of the MLflow experiment: on a stack shared by namespaces they are told apart by a prefix."""
    namespace = run.metadata.namespace
    named = run.spec.tracking.experiment or namespace
    return f"{namespace}/{named}" if server.shared and named != namespace else named


def new_run(run: TrainingRun, server: TrackingServer, options: Options, now: datetime) -> NewRun:
    """Describe the MLflow run to make; tags go in at creation, since clients ignore them on an existing run."""
    spec, meta, tracking = run.spec, run.metadata, run.spec.tracking
    tags = dict(tracking.tags)
    tags |= {
        "mlflow.user": meta.namespace,
        "mlflow.source.type": "JOB",
        "mlflow.source.name": f"{meta.namespace}/{meta.name}",
        "mlflow.docker.image.uri": spec.image,
        TAG_CLUSTER: options.cluster_uid,
        TAG_UID: meta.uid,
        TAG_NAMESPACE: meta.namespace,
        TAG_NAME: meta.name,
        TAG_SPEC_HASH: spec_hash(spec),
        TAG_ATTEMPT: "1",
    }
    if tracking.description:
        tags["mlflow.note.content"] = tracking.description
    return NewRun(
        experiment=experiment_name(run, server),
        run_name=tracking.run_name or meta.name,
        uid=meta.uid,
        start_time=now,
        tags=tags,
    )


def resolved_manifest(run: TrainingRun) -> bytes:
    """Write the manifest as it ran: what ``kubectl apply`` would take again, with what was resolved as comments."""
    status = run.status
    notes = {
        "uid": run.metadata.uid,
        "image digest": status.resolved.image_digest if status.resolved else None,
        "git commit": status.resolved.git_commit if status.resolved else None,
        "spec hash": spec_hash(run.spec),
    }
    header = "".join(f"# {name}: {value}\n" for name, value in notes.items() if value)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "TrainingRun",
        "metadata": {"name": run.metadata.name, "namespace": run.metadata.namespace},
        "spec": run.spec.to_dict(),
    }
    return (header + yaml.dump(manifest, Dumper=DUMPER, sort_keys=False, allow_unicode=True)).encode()
