"""Passwords are made once, before anything that needs them, and belong to the stack only if they shall go with it."""

from runwright.apis.v1alpha1 import TrackingStack
from runwright.ports import Json
from runwright.trackingstack import secrets
from runwright.trackingstack.observed import Observed, Problem, SecretView
from runwright.trackingstack.parts import Part, key_of
from runwright.trackingstack.plan import MakeSecret, OwnSecretBy
from runwright.trackingstack.values import owner_reference


def missing(stack: TrackingStack, seen: Observed) -> tuple[MakeSecret, ...]:
    """The Secrets that are to be made."""
    owners = (owner_reference(stack),) if stack.spec.deletion_policy == "Delete" else ()
    return tuple(MakeSecret(secret, owners) for secret in secrets.own(stack) if secret.name not in seen.secrets)


def wrongly_owned(stack: TrackingStack, seen: Observed) -> tuple[OwnSecretBy, ...]:
    """The Secrets whose owners do not fit the present ``deletionPolicy``; other owners stay."""
    found = []
    for secret in secrets.own(stack):
        view = seen.secrets.get(secret.name)
        if view is None or view.doomed(stack.metadata.uid):
            continue
        owners = _owners(stack, view)
        if owners != view.owners:
            found.append(OwnSecretBy(key_of(stack, view.name), view.resource_version, owners))
    return tuple(found)


def _owners(stack: TrackingStack, view: SecretView) -> tuple[Json, ...]:
    uid = stack.metadata.uid
    others = tuple(owner for owner in view.owners if owner["uid"] != uid)
    if stack.spec.deletion_policy != "Delete":
        return others
    return view.owners if len(others) < len(view.owners) else (*others, owner_reference(stack))


def unusable(stack: TrackingStack, seen: Observed, part: Part) -> Problem | None:
    """What is wrong with a Secret that the part reads: named by the spec and absent, or short of a key."""
    for named in secrets.named(stack):
        view = seen.secrets.get(named.name)
        if named.part is not part:
            continue
        if view is None:
            return Problem("SecretNotFound", f"{named.field}: there is no Secret {named.name}; create it")
        if lacking := [key for key in named.keys if key not in view.keys]:
            text = f"{named.field}: Secret {named.name} has no {' and no '.join(lacking)}; add it"
            return Problem("SecretIncomplete", text)
    for secret in secrets.own(stack):
        view = seen.secrets.get(secret.name)
        if secret.part is part and view is not None:
            lacking = [key for key in secret.keys if key not in view.keys]
            if lacking:
                remedy = "put it back, or delete the Secret if no data depends on it"
                text = f"Secret {secret.name} has no {' and no '.join(lacking)}: {remedy}"
                return Problem("SecretIncomplete", text)
    return None
