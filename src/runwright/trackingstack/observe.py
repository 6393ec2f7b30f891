"""Gathers what is into one `Observed`. Nothing of a stack but itself is watched: all of this is read live."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.errors import RefusedError, TrackerUnavailableError
from runwright.ports import Key, Kind, Release, Releases, StackCluster, Trackers, WantedRelease
from runwright.trackingstack import parts, secrets, values
from runwright.trackingstack.memory import StackMemory
from runwright.trackingstack.observed import (
    BackupView,
    ClaimView,
    Observed,
    PartView,
    PodView,
    SecretView,
    WorkloadView,
    parse_time,
)
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import COMPONENT, INSTANCE, Part, key_of, release_name
from runwright.trackingstack.policies import rights
from runwright.trackingstack.policies.storage import template_size
from runwright.trackingstack.server import server_of

log = logging.getLogger(__name__)

DRIFT_PERIOD: Final = timedelta(minutes=5)
"""Between two comparisons of everything that helm made with what is there: a dry run per object."""
JOB_MINUTES: Final = 60
"""Jobs of a CronJob are named after it and the scheduled time in minutes since 1970 (its controller's getJobName)."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """What is looked with."""

    cluster: StackCluster
    releases: Releases
    trackers: Trackers
    options: Options


async def observe(stack: TrackingStack, eyes: Eyes, memory: StackMemory, now: datetime) -> Observed:
    """Look at everything that a decision about this stack needs.

    Raises:
        ClusterUnavailableError: the API server is away.
        RefusedError: the namespace is being deleted.
    """
    if stack.spec.external:
        return Observed(answer=await _answer(stack, eyes, None))
    try:
        return await _managed(stack, eyes, memory, now)
    except RefusedError as error:
        if rights.is_terminating(error):
            raise
        forbidden = rights.is_forbidden(error)
        return Observed(refused=rights.problem(str(error), stack.metadata.namespace, forbidden=forbidden))


async def _managed(stack: TrackingStack, eyes: Eyes, memory: StackMemory, now: datetime) -> Observed:
    found_secrets, bodies, backup = await asyncio.gather(
        _secrets(stack, eyes.cluster),
        asyncio.gather(*(_part(stack, part, eyes.cluster) for part in parts.managed(stack))),
        _backup(stack, eyes.cluster),
    )
    seen: dict[Part, _Body] = dict(zip(parts.managed(stack), bodies, strict=True))
    asked: dict[Part, str] = {
        part: values.asked_size(stack, part, eyes.options) for part in seen if part is not Part.SERVER
    }
    sizes = {part: template_size(size, seen[part].workload, seen[part].claim) for part, size in asked.items()}
    wanted = values.wanted(stack, eyes.options, sizes, found_secrets)
    found = await asyncio.gather(*(eyes.releases.find(wanted[part]) for part in seen))
    installed = dict(zip(seen, found, strict=True))
    drift = await _drift(seen, installed, wanted, eyes.releases, memory, now)
    certificate = stack.spec.server.tls_secret_name if stack.spec.server else None
    answer = None
    if (server := seen[Part.SERVER].workload) is not None and server.ready:
        answer = await _answer(stack, eyes, found_secrets.get(certificate) if certificate else None)
    views = {
        part: PartView(
            wanted=wanted[part],
            asked_size=asked.get(part, "") if body.workload is None or body.workload.storage else "",
            release=installed[part],
            drift=drift.get(part, ()),
            workload=body.workload,
            pods=body.pods,
            claim=body.claim,
            failure=memory.failure_of(part, wanted[part].values),
            growth_failure=memory.growth_failure_of(part, asked.get(part, "")),
        )
        for part, body in seen.items()
    }
    return Observed(views, found_secrets, answer, backup, failure=memory.other)


@dataclass(frozen=True, slots=True)
class _Body:
    """What the cluster has of a part."""

    workload: WorkloadView | None
    pods: tuple[PodView, ...]
    claim: ClaimView | None


async def _part(stack: TrackingStack, part: Part, cluster: StackCluster) -> _Body:
    namespace = stack.metadata.namespace
    workload, pods, claim = await asyncio.gather(
        cluster.get(part.workload, key_of(stack, release_name(stack, part))),
        cluster.select(Kind.POD, namespace, parts.pod_labels(stack, part)),
        _claim(stack, part, cluster),
    )
    return _Body(
        WorkloadView.of(workload) if workload is not None else None,
        tuple(sorted(map(PodView.of, pods), key=lambda pod: pod.name)),
        claim,
    )


async def _claim(stack: TrackingStack, part: Part, cluster: StackCluster) -> ClaimView | None:
    if part is Part.SERVER:
        return None
    found = await cluster.get(Kind.VOLUME_CLAIM, key_of(stack, parts.claim_name(stack, part)))
    return ClaimView.of(found) if found is not None else None


async def _secrets(stack: TrackingStack, cluster: StackCluster) -> Mapping[str, SecretView]:
    names = {secret.name for secret in secrets.own(stack)} | {secret.name for secret in secrets.named(stack)}
    found = await asyncio.gather(*(cluster.get(Kind.SECRET, key_of(stack, name)) for name in sorted(names)))
    return {view.name: view for view in (SecretView.of(obj) for obj in found if obj is not None)}


async def _drift(
    seen: Mapping[Part, _Body],
    installed: Mapping[Part, Release | None],
    wanted: Mapping[Part, WantedRelease],
    releases: Releases,
    memory: StackMemory,
    now: datetime,
) -> Mapping[Part, tuple[str, ...]]:
    """Compare what helm made with what is there: every few minutes, and where something is seen to be missing."""
    current = [part for part, release in installed.items() if release is not None and release.current]
    suspicious = any(seen[part].workload is None for part in current)
    due = memory.drift_seen is None or now - memory.drift_seen >= DRIFT_PERIOD
    if not current or not (due or suspicious):
        return {}
    answers = await asyncio.gather(*(_drift_of(wanted[part], releases) for part in current))
    memory.drift_seen = now
    return dict(zip(current, answers, strict=True))


async def _drift_of(wanted: WantedRelease, releases: Releases) -> tuple[str, ...]:
    try:
        return tuple(await releases.drift(wanted))
    except RefusedError as error:
        if rights.is_forbidden(error) or rights.is_terminating(error):
            raise
        log.warning("Whether release %s was edited cannot be told: %s", wanted.key, error)
        return ()


async def _answer(stack: TrackingStack, eyes: Eyes, certificate: SecretView | None) -> str:
    """Why the server does not answer; ``""`` when it does."""
    try:
        await eyes.trackers(server_of(stack, eyes.options, certificate)).ping()
    except (TrackerUnavailableError, RefusedError) as error:
        return str(error)
    return ""


async def _backup(stack: TrackingStack, cluster: StackCluster) -> BackupView | None:
    """The backup's CronJob, and how its latest Job ended; one that was made by hand counts as well."""
    if stack.spec.backup is None:
        return None
    found = await cluster.get(Kind.CRON_JOB, key_of(stack, parts.backup_name(stack)))
    if found is None:
        return None
    labels = {INSTANCE: release_name(stack, Part.SERVER), COMPONENT: "backup"}
    pods = [PodView.of(pod) for pod in await cluster.select(Kind.POD, stack.metadata.namespace, labels)]
    newest = max(pods, key=lambda pod: (pod.created is not None, pod.created), default=None)
    status = found.get("status") or {}
    success = parse_time(status.get("lastSuccessfulTime"))
    name = newest.job if newest is not None else ""
    if not name and (scheduled := parse_time(status.get("lastScheduleTime"))) is not None:
        name = f"{found['metadata']['name']}-{int(scheduled.timestamp()) // JOB_MINUTES}"
    job = await cluster.get(Kind.JOB, Key(stack.metadata.namespace, name)) if name else None
    if job is None:
        return BackupView(success, running=bool(status.get("active")))
    ended = {c["type"]: c for c in (job.get("status") or {}).get("conditions") or () if c["status"] == "True"}
    if "Failed" in ended:
        return BackupView(success, failure=_last_words(pods, name) or ended["Failed"].get("message") or "it failed")
    completed = parse_time((job.get("status") or {}).get("completionTime"))
    times = [time for time in (success, completed) if time is not None]
    return BackupView(max(times, default=None), running="Complete" not in ended)


def _last_words(pods: list[PodView], job: str) -> str:
    """What the container said that ended a failed backup."""
    for pod in sorted(pods, key=lambda pod: pod.name):
        for container in pod.containers:
            if pod.job == job and container.exit_code:
                return f"container {container.name}: {container.exit_message}"
    return ""
