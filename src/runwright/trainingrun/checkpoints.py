"""The volume for checkpoints: an existing claim, or one that is the run's and goes with it; pure."""

from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRun, TrainingRunSpec
from runwright.trainingrun.environment import base_name

VOLUME: Final = "checkpoint"


def claim_name(run: TrainingRun) -> str:
    """Name of the claim that is mounted."""
    wanted = run.spec.checkpoint
    return (wanted.claim_name if wanted is not None else None) or f"{base_name(run)}-checkpoints"


def claim_spec(spec: TrainingRunSpec) -> dict[str, Any]:
    """What the run's own claim asks for: with several nodes, a volume that all of them can mount."""
    wanted = spec.checkpoint
    assert wanted is not None  # noqa: S101  # the caller looked; narrows the type
    found: dict[str, Any] = {
        "accessModes": [wanted.access_mode or ("ReadWriteMany" if spec.num_nodes > 1 else "ReadWriteOnce")],
        "resources": {"requests": {"storage": wanted.size}},
    }
    if wanted.storage_class_name:
        found["storageClassName"] = wanted.storage_class_name
    return found


def volume(run: TrainingRun) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts of the pods; none where no checkpoints are wanted."""
    wanted = run.spec.checkpoint
    if wanted is None:
        return [], []
    source = {"name": VOLUME, "persistentVolumeClaim": {"claimName": claim_name(run)}}
    return [source], [{"name": VOLUME, "mountPath": wanted.mount_path}]
