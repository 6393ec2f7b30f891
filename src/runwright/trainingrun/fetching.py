"""The init container that fetches code and data (docs/adr/0008-fetch.md): pure builders of its part of the pod.

Credentials are mounted into it and nowhere else.
"""

from dataclasses import dataclass
from typing import Any, Final

from runwright.apis.v1alpha1 import TrainingRun
from runwright.inpod.fetch.job import DatasetJob, FetchJob, GitJob
from runwright.names import FETCH_CONTAINER, WORKSPACE
from runwright.trainingrun.options import Options

CREDENTIALS: Final = "/credentials"
CACHES: Final = "/cache"
RESULT_FILE: Final = "/tmp/runwright-fetch.json"  # noqa: S108  # the container's own volume
SECRET_MODE: Final = 0o440
"""Readable through the pod's fsGroup."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """What fetching adds to a pod; all empty for a run that fetches nothing."""

    containers: tuple[dict[str, Any], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    """Where the trainer finds the data; the code is in the workspace."""


def fetching(run: TrainingRun, attempt: int, resources: dict[str, Any], options: Options) -> Fetching:
    """Build the init container with its volumes, and the trainer's mounts of the data.

    Args:
        run: As stored; from the second attempt on its status holds the commit that the first one found.
        attempt: Number of the attempt.
        resources: The trainer's, without devices: Kubernetes reserves the larger of both, so they cost nothing.
        options: Name the image.
    """
    spec = run.spec
    if spec.git is None and not spec.datasets:
        return Fetching()
    secrets: dict[str, str] = {}  # mount path by name of the Secret
    volumes: list[dict[str, Any]] = [{"name": "fetch-tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]
    mine: list[dict[str, Any]] = [
        {"name": "workspace", "mountPath": WORKSPACE},
        {"name": "fetch-tmp", "mountPath": "/tmp"},  # noqa: S108  # a volume of its own
    ]
    theirs: list[dict[str, Any]] = []

    def credentials(name: str | None) -> str | None:
        if name is None:
            return None
        if name not in secrets:
            volume = f"credentials-{len(secrets)}"
            secrets[name] = f"{CREDENTIALS}/{len(secrets)}"
            volumes.append({"name": volume, "secret": {"secretName": name, "defaultMode": SECRET_MODE}})
            mine.append({"name": volume, "mountPath": secrets[name], "readOnly": True})
        return secrets[name]

    caches: dict[str, str] = {}

    def cache(claim: str) -> str:
        if claim not in caches:
            volume, caches[claim] = f"cache-{len(caches)}", f"{CACHES}/{len(caches)}"
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
            # At the same path in both, since the data's folder holds links.
            mine.append({"name": volume, "mountPath": caches[claim]})
            theirs.append({"name": volume, "mountPath": caches[claim], "readOnly": True})
        return caches[claim]

    jobs = []
    for number, dataset in enumerate(spec.datasets):
        volume = f"data-{number}"
        volumes.append({"name": volume, "emptyDir": {}})
        mine.append({"name": volume, "mountPath": dataset.path})
        theirs.append({"name": volume, "mountPath": dataset.path, "readOnly": True})
        jobs.append(
            DatasetJob(
                name=dataset.name,
                uri=dataset.uri,
                endpoint=dataset.endpoint,
                region=dataset.region,
                sha256=dataset.sha256,
                credentials=credentials(
                    dataset.credentials_secret_ref.name if dataset.credentials_secret_ref else None
                ),
                mount_path=dataset.path,
                cache_path=cache(dataset.cache.claim_name) if dataset.cache else None,
            )
        )
    job = FetchJob(
        run=run.metadata.uid,
        attempt=attempt,
        git=_git(run, attempt, credentials),
        workspace=WORKSPACE,
        datasets=tuple(jobs),
        result_file=RESULT_FILE,
    )
    container: dict[str, Any] = {
        "name": FETCH_CONTAINER,
        "image": options.image,
        "command": ["python3", "-m", "runwright.inpod.fetch"],
        # Kubernetes expands $(NAME) and makes $ of $$.
        "env": [{"name": "RUNWRIGHT_FETCH_JOB", "value": job.to_json().replace("$", "$$")}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mine,
    }
    if resources:
        container["resources"] = resources
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    return Fetching((container,), tuple(volumes), tuple(theirs))


def _git(run: TrainingRun, attempt: int, credentials: Any) -> GitJob | None:
    git, found = run.spec.git, run.status.resolved
    if git is None:
        return None
    return GitJob(
        url=git.url,
        revision=git.revision,
        path=git.path,
        commit=found.git_commit if attempt > 1 and found is not None else None,
        credentials=credentials(git.credentials_secret_ref.name if git.credentials_secret_ref else None),
    )
