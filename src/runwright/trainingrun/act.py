"""Carries out a plan's actions in order. Each may be repeated: after a crash the same plan comes again."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final

from runwright.apis.v1alpha1 import TrainingRun
from runwright.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    RefusedError,
    TrackerUnavailableError,
)
from runwright.names import ANNOTATION_STOP
from runwright.ports import Cluster, Json, Key, Kind, TrackedRun, Tracker
from runwright.trainingrun import manifests
from runwright.trainingrun.measures import best_of
from runwright.trainingrun.memory import Memory
from runwright.trainingrun.observed import PodView, Problem
from runwright.trainingrun.plan import (
    Action,
    CloseRun,
    Create,
    CreateRun,
    DeleteJob,
    DeleteRun,
    Follow,
    LogParams,
    Outcome,
    Plan,
    RaiseStop,
    ReadLogTail,
    SetTags,
    UploadLogs,
)

log = logging.getLogger(__name__)

NOT_FOUND: Final = 404
TAIL_LINES: Final = 40
TAIL_BYTES: Final = 2048
LOG_BYTES: Final = 16 * 2**20
"""Longest log kept per pod; of a longer one the beginning."""
LOGS_AT_ONCE: Final = 4
"""Silent nodes cost one time-out together; more at once would cost memory (`LOG_BYTES` each)."""
LOGS_SECONDS: Final = 30.0
"""After so long no further logs are begun: the worker must come back before it counts as hung."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What actions are carried out with."""

    cluster: Cluster
    tracker: Tracker | None
    memory: Memory


async def act(plan: Plan, run: TrainingRun, hands: Hands) -> Outcome:
    """Carry out the actions; a refusal of the API server or a missing MLflow run ends the row.

    A tracker that is away never does: training goes first, records are brought up to date later.

    Raises:
        ClusterUnavailableError: the API server is away; the pass is repeated.
    """
    outcome = Outcome()
    for action in plan.actions:
        try:
            outcome = await _one(action, run, hands, outcome)
        except TrackerUnavailableError as error:
            outcome = replace(outcome, tracker_problem=str(error))
        except RefusedError as error:
            if isinstance(action, Create | DeleteJob | DeleteRun | ReadLogTail):
                return replace(outcome, refused=_refusal(error))
            if isinstance(action, CreateRun | CloseRun):
                outcome = replace(outcome, tracker_refusal=str(error))
            else:  # a record that is missing must not make the tracker look broken
                log.warning("%s of %s was refused: %s", type(action).__name__, manifests.key(run), error)
        if outcome.conflict is not None or (isinstance(action, CreateRun) and outcome.run is None):
            break
    return outcome


def _refusal(error: RefusedError) -> Problem:
    quota = "exceeded quota" in str(error)
    return Problem("WaitingForQuota" if quota else "ResourcesRefused", str(error))


async def _one(action: Action, run: TrainingRun, hands: Hands, outcome: Outcome) -> Outcome:
    match action:
        case Create(kind, manifest):
            conflict, adopted = await _create(hands.cluster, run, kind, manifest)
            return replace(outcome, conflict=conflict, adopted=outcome.adopted or adopted)
        case DeleteJob(name, uid):
            await hands.cluster.delete(Kind.JOB, Key(run.metadata.namespace, name), uid=uid)
            return outcome
        case DeleteRun(uid):
            await hands.cluster.delete(Kind.TRAINING_RUN, manifests.key(run), uid=uid)
            return outcome
        case RaiseStop(pods, reason):
            await _raise_stop(hands.cluster, run.metadata.namespace, pods, reason)
            return outcome
        case ReadLogTail(pod):
            return replace(outcome, log_tail=await _tail(hands.cluster, Key(run.metadata.namespace, pod)))
        case _:
            if hands.tracker is None:
                return outcome
            return await _tracked(action, run, hands, hands.tracker, outcome)


async def _tracked(action: Action, run: TrainingRun, hands: Hands, tracker: Tracker, outcome: Outcome) -> Outcome:
    match action:
        case CreateRun(new, search_first):
            hands.memory.fresh_marks.discard(run.metadata.uid)
            made = await tracker.create_run(new, search_first=search_first)
            hands.memory.made[run.metadata.uid] = made.run_id
            return replace(outcome, run=made)
        case Follow(run_id):
            tracker.follow(run_id, manifests.key(run))
        case LogParams(run_id, params):
            await tracker.log_params(run_id, params)
        case SetTags(run_id, tags):
            await tracker.set_tags(run_id, tags)
        case UploadLogs(run_id, pods):
            await _upload_logs(run, run_id, pods, hands, tracker)
        case CloseRun():
            return await _close(action, run, hands, tracker, outcome)
        case Create() | DeleteJob() | DeleteRun() | RaiseStop() | ReadLogTail():
            raise AssertionError(action)  # handled by the caller
    return outcome


async def _create(cluster: Cluster, run: TrainingRun, kind: Kind, manifest: Json) -> tuple[Problem | None, bool]:
    """POST once; a name that is taken is ours (adopt what is there) or somebody else's (say so).

    Returns:
        Whose the name is when it is not ours, and whether a Job was adopted.
    """
    try:
        await cluster.create(kind, manifest)
    except AlreadyExistsError:
        key = Key(run.metadata.namespace, manifest["metadata"]["name"])
        found = await cluster.get(kind, key)
        if found is None:
            raise ClusterUnavailableError(f"{kind.kind} {key} was there and is gone; trying again") from None
        owners = found["metadata"].get("ownerReferences", ())
        if not any(ref.get("controller") and ref["uid"] == run.metadata.uid for ref in owners):
            told = f"{kind.kind} {key.name} exists and is not this run's; delete or rename it, or rename the run"
            return Problem("NameConflict", told), False
        return None, kind is Kind.JOB
    return None, False


async def _raise_stop(cluster: Cluster, namespace: str, pods: tuple[str, ...], reason: str) -> None:
    """Annotate pods: a file of their downward API follows, within the kubelet's sync period (a minute or so)."""
    for pod in pods:
        try:
            await cluster.patch(
                Kind.POD, Key(namespace, pod), {"metadata": {"annotations": {ANNOTATION_STOP: reason or "stop"}}}
            )
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise  # it is gone: nothing is left to be stopped


async def _tail(cluster: Cluster, pod: Key) -> str:
    """Read the end of a log, at most 2 KiB of whole lines where possible."""
    try:
        text = await cluster.pod_log(pod, tail_lines=TAIL_LINES)
    except (RefusedError, ClusterUnavailableError):
        return ""  # the pod is gone or its node silent; the failure is told without
    encoded = text.encode()
    if len(encoded) <= TAIL_BYTES:
        return text
    cut = encoded[-TAIL_BYTES:].decode(errors="ignore")
    return cut.split("\n", 1)[-1] or cut


def _identified(run: TrainingRun, run_id: str) -> TrackedRun:
    tracking = run.status.tracking
    return TrackedRun(run_id, (tracking.experiment_id or "") if tracking else "", "RUNNING")


async def _upload_logs(
    run: TrainingRun, run_id: str, pods: tuple[PodView, ...], hands: Hands, tracker: Tracker
) -> None:
    """Store the logs of pods that have begun, each once per process."""
    stored = hands.memory.uploaded.setdefault(run.metadata.uid, set())
    waiting = [p for p in pods if p.uid not in stored and p.started is not None]
    loop = asyncio.get_running_loop()
    give_up = loop.time() + LOGS_SECONDS
    for first in range(0, len(waiting), LOGS_AT_ONCE):
        if loop.time() > give_up:
            log.warning("No logs of %d more pods: their nodes answer too slowly", len(waiting) - first)
            return
        some = waiting[first : first + LOGS_AT_ONCE]
        texts = await asyncio.gather(*(_log(hands.cluster, Key(run.metadata.namespace, p.name)) for p in some))
        for pod, text in zip(some, texts, strict=True):
            if text is None:
                continue
            path = f"logs/attempt-{pod.attempt}/node-{pod.index}.log"
            await tracker.upload(_identified(run, run_id), path, text.encode())
            if pod.over:
                stored.add(pod.uid)


async def _log(cluster: Cluster, pod: Key) -> str | None:
    """Read a log; None when its node is gone or silent (5xx or no answer): the run must go on all the same."""
    try:
        return await cluster.pod_log(pod, limit_bytes=LOG_BYTES)
    except (RefusedError, ClusterUnavailableError) as error:
        log.warning("No log of pod %s: %s", pod.name, error)
        return None


async def _close(action: CloseRun, run: TrainingRun, hands: Hands, tracker: Tracker, outcome: Outcome) -> Outcome:
    """Write what is missing, read what is last, then the terminal state; the state comes even if a record fails."""
    if action.params:
        await _record(tracker.log_params(action.run_id, action.params))
    for path, content in action.artifacts.items():
        await _record(tracker.upload(_identified(run, action.run_id), path, content))
    last = await tracker.refresh(action.run_id)
    if last is None:  # nothing is left to be closed
        log.warning("MLflow run %s is gone from the tracking server", action.run_id)
        hands.memory.forget(run.metadata.uid)
        return replace(outcome, closed=True)
    outcome = replace(outcome, run=last)
    if action.history_of and action.history_of in last.metrics:
        points = await tracker.metric_history(last, action.history_of)
        direction = run.spec.objective.direction if run.spec.objective else "Maximize"
        outcome = replace(outcome, best=best_of(points, direction))
    await tracker.close_run(action.run_id, action.status, action.end_time, tags=action.tags)
    hands.memory.forget(run.metadata.uid)
    return replace(outcome, closed=True)


async def _record(call: Awaitable[None]) -> None:
    """Await a record that must not keep the run from being closed."""
    try:
        await call
    except RefusedError as error:
        log.warning("a record was refused: %s", error)
