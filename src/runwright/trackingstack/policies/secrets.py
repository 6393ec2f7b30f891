"""Passwords are made once, before anything that needs them, and belong to the stack only if they shall go with it.

A database keeps the password that it was made with: where its volume is and its Secret is not, no other one is made.
"""

from runwright.apis.v1alpha1 import TrackingStack
from runwright.ports import Json
from runwright.trackingstack import secrets
from runwright.trackingstack.observed import ClaimView, Observed, Problem, SecretView
from runwright.trackingstack.parts import Part, key_of
from runwright.trackingstack.plan import MakeSecret, OwnSecretBy
from runwright.trackingstack.values import owner_reference


def missing(stack: TrackingStack, seen: Observed) -> tuple[MakeSecret, ...]:
    """The Secrets that are to be made."""
    owners = (owner_reference(stack),) if stack.spec.deletion_policy == "Delete" else ()
    absent = [secret for secret in secrets.own(stack) if secret.name not in seen.secrets]
    return tuple(MakeSecret(secret, owners) for secret in absent if _volume(seen, secret.part) is None)


def _volume(seen: Observed, part: Part) -> ClaimView | None:
    """The volume claim of a database; an object store takes whatever password its Secret holds."""
    view = seen.parts.get(part)
    return view.claim if part is Part.DATABASE and view is not None else None


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
        if secret.part is part and (problem := _unusable(secret, view, seen)) is not None:
            return problem
    return None


def _unusable(secret: secrets.OwnSecret, view: SecretView | None, seen: Observed) -> Problem | None:
    if view is None:
        claim = _volume(seen, secret.part)
        if claim is None or claim.doomed(seen.parts[secret.part].workload):
            return None
        text = f"Secret {secret.name} is gone, and the database in volume claim {claim.name} keeps its password"
        remedy = "put it back, or delete stack and claim to begin with an empty database"
        return Problem("SecretNotFound", f"{text}: {remedy}")
    if lacking := [key for key in secret.keys if key not in view.keys]:
        remedy = "put it back, or delete the Secret if no data depends on it"
        return Problem("SecretIncomplete", f"Secret {secret.name} has no {' and no '.join(lacking)}: {remedy}")
    return None
