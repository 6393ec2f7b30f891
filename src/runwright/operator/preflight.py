"""Checks, before anything is done, that the operator can work here; if not, ends with one line that says why."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from runwright.errors import ConfigurationError, RefusedError, RunwrightError, TransientError
from runwright.kube.client import Client, item
from runwright.names import API_VERSION
from runwright.operator import default_stack
from runwright.operator.rights import (
    CLUSTER_ID,
    DEFAULT_STACK,
    LEASE,
    MAKE_DEFAULT_STACK,
    NAMESPACED,
    READ_DEFAULT_STACK,
    STACKS,
    Right,
)
from runwright.operator.settings import Settings
from runwright.ports import Json, Key, Kind

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 120.0
"""How long an API server may be away at the start: nodes and their API server start together, and a restart of the
operator does not bring it back sooner."""
RETRY_SECONDS: Final = 2.0
JUST_INSTALLED_SECONDS: Final = 5.0
"""A CRD is served some seconds after it was created, and Helm creates it together with the operator."""
NOT_FOUND: Final = 404
OWN_KINDS: Final = (Kind.TRAINING_RUN, Kind.TRACKING_STACK)
INSTALL: Final = (
    "install them with `runwright crds | kubectl apply --server-side -f -`, or with Helm's chart `runwright`"
)


async def preflight(client: Client, settings: Settings, *, patience: float = PATIENCE_SECONDS) -> str:
    """Check server, CRDs and rights.

    Args:
        client: Asks.
        settings: Which namespaces are watched, and where the Lease is.
        patience: Seconds to wait for a server that is away.

    Returns:
        The uid of the kube-system namespace: the cluster's identity.

    Raises:
        ConfigurationError: something is missing; one line that names it and the remedy.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            await _crds(client)
            await _rights(client, settings)
            return await _cluster_uid(client)
        except TransientError as error:
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"The API server {client.connection.server} gave no usable answer for {patience:g} s: {error}"
                ) from error
            logger.warning("Waiting for the API server: %s", error)
        await asyncio.sleep(RETRY_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - jitter


async def _crds(client: Client, patience: float = JUST_INSTALLED_SECONDS) -> None:
    deadline = time.monotonic() + patience
    while problem := await _crd_problem(client):
        if time.monotonic() >= deadline:
            raise ConfigurationError(problem)
        await asyncio.sleep(0.5)


async def _crd_problem(client: Client) -> str:
    path = Kind.TRAINING_RUN.path
    try:
        served = await client.json("get", path, resource="discovery")
    except RefusedError as error:
        if error.status != NOT_FOUND:
            raise ConfigurationError(
                f"The API server does not tell what it serves under {path}: {error}; "
                "bind the ClusterRole system:discovery"
            ) from error
        served = {}
    names = {resource["name"] for resource in served.get("resources", ())}
    missing = [f"{kind.plural}.{API_VERSION.partition('/')[0]}" for kind in OWN_KINDS if kind.plural not in names]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return (
            f"The CustomResourceDefinition{'s' if len(missing) > 1 else ''} {' and '.join(missing)} "
            f"{verb} not installed: {INSTALL}"
        )
    without_status = [kind.plural for kind in OWN_KINDS if f"{kind.plural}/status" not in names]
    if without_status:
        return f"The CRD of {without_status[0]} has no status subresource; it is not ours: {INSTALL}"
    return ""


def wanted(settings: Settings) -> Sequence[tuple[Right, str]]:
    """Name what these settings need beside stacks: (right, namespace); an empty namespace is the whole cluster.

    Raises:
        ConfigurationError: the default stack's manifest cannot be read.
    """
    found = [(right, namespace) for namespace in settings.watch_namespaces or ("",) for right in NAMESPACED]
    stack = settings.default_stack
    if stack is not None and settings.watch_namespaces and stack.namespace not in settings.watch_namespaces:
        found += [(right, stack.namespace) for right in DEFAULT_STACK]
    if settings.default_stack_file is not None:
        made = default_stack.read(settings.default_stack_file)
        found += [(replace(MAKE_DEFAULT_STACK, name=made.key.name), made.key.namespace)]
        found += [(replace(READ_DEFAULT_STACK, name=made.config_map), made.key.namespace)]
    return [*found, (LEASE, settings.lease_namespace), (CLUSTER_ID, "")]


async def _rights(client: Client, settings: Settings) -> None:
    missing = [*await _missing(client, wanted(settings)), *await _missing_on_stacks(client, settings.stack_namespaces)]
    if not missing:
        return
    user = await _user(client)
    raise ConfigurationError(
        f"{user} lacks rights: {'; '.join(missing)}. The chart `runwright` grants them (rbac.create); "
        "without it, grant those that its README lists"
    )


async def _missing_on_stacks(client: Client, namespaces: Iterable[str]) -> Sequence[str]:
    """Name what is missing where stacks are made.

    A namespace without any right on Secrets has no binding: it was deleted with it, which must not end an operator that
    serves others. Stacks there say what they were refused.
    """
    found: list[str] = []
    for namespace in namespaces:
        missing = await _missing(client, [(right, namespace) for right in STACKS])
        if f"{STACKS[0]} in {namespace}" in missing:
            logger.warning("No TrackingStack can be made in %s: nothing grants the rights on stacks there", namespace)
        else:
            found += missing
    return found


async def _missing(client: Client, needed: Iterable[tuple[Right, str]]) -> Sequence[str]:
    """Ask for every verb at once; name those refused, grouped by resource and place."""
    asked = dict.fromkeys(
        (replace(right, verbs=()), namespace, verb) for right, namespace in needed for verb in right.verbs
    )
    answers = await asyncio.gather(*(_allowed(client, right, namespace, verb) for right, namespace, verb in asked))
    refused: dict[tuple[Right, str], list[str]] = {}
    for (right, namespace, verb), allowed in zip(asked, answers, strict=True):
        if not allowed:
            refused.setdefault((right, namespace), []).append(verb)
    return [
        f"{replace(right, verbs=tuple(verbs))}" + (f" in {namespace}" if namespace else " cluster-wide")
        for (right, namespace), verbs in refused.items()
    ]


async def _allowed(client: Client, right: Right, namespace: str, verb: str) -> bool:
    place = {"subresource": right.subresource, "name": right.name, "namespace": namespace}
    attributes = {"group": right.group, "resource": right.resource, "verb": verb}
    attributes |= {name: value for name, value in place.items() if value}
    answer = await client.json(
        "create",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        resource="selfsubjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    return bool(answer.get("status", {}).get("allowed"))


async def own_account(client: Client, namespace: str) -> Json | None:
    """Return the ownerReference to the ServiceAccount that the operator acts as, if it is one of `namespace`.

    What the operator makes for itself (its Lease) goes with that account when the release is uninstalled.
    """
    user = await _who(client)
    prefix, _, name = str(user.get("username", "")).rpartition(":")
    if prefix != f"system:serviceaccount:{namespace}" or not user.get("uid"):
        return None
    return {"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": user["uid"]}


async def _user(client: Client) -> str:
    return str((await _who(client)).get("username", "The operator's user"))


async def _who(client: Client) -> Json:
    try:
        answer = await client.json(
            "create",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            resource="selfsubjectreviews",
            body={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
    except RunwrightError:
        return {}
    return answer.get("status", {}).get("userInfo") or {}


async def _cluster_uid(client: Client) -> str:
    path = item(Kind.NAMESPACE, Key("", CLUSTER_ID.name))
    try:
        namespace = await client.json("get", path, resource="namespaces")
    except RefusedError as error:
        raise ConfigurationError(f"The namespace kube-system cannot be read: {error}") from error
    return str(namespace["metadata"]["uid"])
