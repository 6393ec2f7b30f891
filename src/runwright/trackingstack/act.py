"""Carries out a plan's actions side by side. Each may be repeated: after a crash the same plan comes again."""

import asyncio
import logging
import secrets as randomness
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runwright.apis.v1alpha1 import TrackingStack
from runwright.errors import AlreadyExistsError, RefusedError
from runwright.names import GROUP
from runwright.ports import Key, Kind, Releases, StackCluster
from runwright.trackingstack.memory import StackMemory, failed
from runwright.trackingstack.plan import (
    Action,
    DeletePod,
    GrowClaim,
    Install,
    MakeSecret,
    OrphanWorkload,
    OwnSecretBy,
)
from runwright.trackingstack.policies.rights import is_terminating

log = logging.getLogger(__name__)

RANDOM_BYTES = 24
"""192 bits, as 48 hexadecimal digits: letters and digits only, so that no URI, shell or ini file minds them."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What actions are carried out with."""

    cluster: StackCluster
    releases: Releases
    memory: StackMemory


async def act(actions: Sequence[Action], stack: TrackingStack, hands: Hands, now: datetime) -> bool:
    """Carry out the actions; what is refused is remembered, and tried again later.

    Returns:
        Whether all were carried out.

    Raises:
        ClusterUnavailableError: the API server is away; the pass is repeated.
        ConflictError: something changed since it was looked at; likewise.
        RefusedError: the namespace is being deleted.
    """
    results = await asyncio.gather(*(_one(action, stack, hands) for action in actions), return_exceptions=True)
    refused = False
    for action, result in zip(actions, results, strict=True):
        if isinstance(result, RefusedError) and not is_terminating(result):
            refused = True
            log.warning("%s of stack %s was refused: %s", type(action).__name__, stack.metadata.name, result)
            _remember(action, result, hands.memory, now)
        elif result is None:
            _forget(action, hands.memory)
    for result in results:
        if isinstance(result, BaseException) and (not isinstance(result, RefusedError) or is_terminating(result)):
            raise result
    return not refused


async def _one(action: Action, stack: TrackingStack, hands: Hands) -> None:
    cluster = hands.cluster
    match action:
        case MakeSecret():
            await _make_secret(action, stack, cluster)
        case OwnSecretBy(key, resource_version, owners):
            metadata = {"resourceVersion": resource_version, "ownerReferences": [dict(owner) for owner in owners]}
            await cluster.patch(Kind.SECRET, key, {"metadata": metadata})
        case GrowClaim(_, key, uid, size):
            change = {"metadata": {"uid": uid}, "spec": {"resources": {"requests": {"storage": size}}}}
            await cluster.patch(Kind.VOLUME_CLAIM, key, change)
        case OrphanWorkload(key, uid):
            await cluster.orphan(Kind.STATEFUL_SET, key, uid=uid)
        case DeletePod(key, uid):
            await cluster.delete(Kind.POD, key, uid=uid)
        case Install(_, wanted):
            await hands.releases.install(wanted)


async def _make_secret(action: MakeSecret, stack: TrackingStack, cluster: StackCluster) -> None:
    """POST once; one that is there already is kept, whoever made it: data may be locked with its password."""
    secret = action.secret
    texts = {**secret.fixed, **{name: randomness.token_hex(RANDOM_BYTES) for name in secret.random}}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "namespace": stack.metadata.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "runwright",
                "app.kubernetes.io/managed-by": "runwright",
                f"{GROUP}/stack": stack.metadata.name,
            },
            "ownerReferences": [dict(owner) for owner in action.owners],
        },
        "type": "Opaque",
        "data": {name: b64encode(text.encode()).decode() for name, text in texts.items()},
    }
    try:
        await cluster.create(Kind.SECRET, manifest)
    except AlreadyExistsError:
        log.info("Secret %s was there already", Key(stack.metadata.namespace, secret.name))


def _remember(action: Action, error: RefusedError, memory: StackMemory, now: datetime) -> None:
    match action:
        case Install(part, wanted):
            before = memory.failure_of(part, wanted.values)
            memory.failures[part] = (wanted.values, failed(error, before, now))
        case GrowClaim(part, _, _, size):
            memory.growth[part] = (size, failed(error, memory.growth_failure_of(part, size), now))
        case _:
            memory.other = failed(error, memory.other, now)


def _forget(action: Action, memory: StackMemory) -> None:
    """An action that succeeded takes its refusal with it."""
    match action:
        case Install(part):
            memory.failures.pop(part, None)
        case GrowClaim(part):
            memory.growth.pop(part, None)
        case _:
            memory.other = None
