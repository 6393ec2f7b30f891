"""The Secrets of a stack: those the operator makes once, and those that the spec names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from runwright.apis.v1alpha1 import TrackingStack
from runwright.apis.v1alpha1.trackingstack_parts import S3Location
from runwright.trackingstack.parts import Part, managed, release_name

LOGIN: Final = ("username", "password")
S3_KEYS: Final = ("accessKey", "secretKey")
SERVING_KEYS: Final = ("tls.crt", "tls.key")
TLS_KEYS: Final = (*SERVING_KEYS, "ca.crt")
CA_KEYS: Final = ("ca.crt",)
DATABASE_KEYS: Final = ("username", "password", "database")


@dataclass(frozen=True, slots=True)
class OwnSecret:
    """A Secret that the operator makes when it is absent, and never changes."""

    name: str
    part: Part
    """The part that cannot run without it."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Keys whose value is known."""
    random: tuple[str, ...] = ()
    """Keys whose value is drawn."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys."""
        return (*self.fixed, *self.random)


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """A Secret that the spec names: somebody else makes it."""

    name: str
    field: str
    """Path of the field that names it."""
    keys: tuple[str, ...]
    part: Part
    """The part that cannot run without it."""


def credentials_name(stack: TrackingStack, part: Part) -> str:
    """Name of the Secret with the credentials of a managed database or object store."""
    return f"{release_name(stack, part)}-credentials"


def operator_name(stack: TrackingStack) -> str:
    """Name of the Secret that the operator logs in with."""
    return f"{release_name(stack, Part.SERVER)}-operator"


def client_name(stack: TrackingStack) -> str:
    """Name of the Secret that training pods log in with."""
    return f"{release_name(stack, Part.SERVER)}-client"


def has_login(stack: TrackingStack) -> bool:
    """Whether a managed server asks for user name and password."""
    server = stack.spec.server
    return server is not None and server.auth == "Basic"


def own(stack: TrackingStack) -> tuple[OwnSecret, ...]:
    """The Secrets that the operator makes for a stack."""
    parts, made = managed(stack), list[OwnSecret]()
    if Part.DATABASE in parts:
        fixed = {"username": "mlflow", "database": "mlflow"}
        made.append(OwnSecret(credentials_name(stack, Part.DATABASE), Part.DATABASE, fixed, ("password",)))
    if Part.STORE in parts:
        made.append(OwnSecret(credentials_name(stack, Part.STORE), Part.STORE, random=S3_KEYS))
    if Part.SERVER in parts and has_login(stack):
        admin = {"username": "runwright-operator"}
        made.append(OwnSecret(operator_name(stack), Part.SERVER, admin, ("password", "flaskSecretKey")))
        made.append(OwnSecret(client_name(stack), Part.SERVER, {"username": "runwright-training"}, ("password",)))
    return tuple(made)


def named(stack: TrackingStack) -> tuple[NamedSecret, ...]:
    """The Secrets that the parts of a managed stack read because the spec names them."""
    spec = stack.spec
    if spec.external:
        return ()
    found: list[NamedSecret] = []
    for part, path, settings in (
        (Part.DATABASE, "spec.postgresql", spec.postgresql),
        (Part.STORE, "spec.objectStore", spec.object_store),
        (Part.SERVER, "spec.server", spec.server),
    ):
        if settings is not None and settings.tls_secret_name:
            # Without ca.crt the server's clients trust what their systems trust; MLflow's own have no such choice.
            keys = SERVING_KEYS if part is Part.SERVER else TLS_KEYS
            found.append(NamedSecret(settings.tls_secret_name, f"{path}.tlsSecretName", keys, part))
    if spec.postgresql and (database := spec.postgresql.external):
        path = "spec.postgresql.external"
        found.append(NamedSecret(database.secret_ref.name, f"{path}.secretRef.name", DATABASE_KEYS, Part.SERVER))
        if database.ca_secret_ref:
            found.append(NamedSecret(database.ca_secret_ref.name, f"{path}.caSecretRef.name", CA_KEYS, Part.SERVER))
    if spec.object_store and spec.object_store.external:
        found += _of(spec.object_store.external, "spec.objectStore.external")
    if spec.backup:
        found += _of(spec.backup.destination, "spec.backup.destination")
    if spec.restore_from:
        found += _of(spec.restore_from.source, "spec.restoreFrom.source")
    return tuple(found)


def _of(location: S3Location, path: str) -> list[NamedSecret]:
    found = []
    if location.secret_ref:
        found.append(NamedSecret(location.secret_ref.name, f"{path}.secretRef.name", S3_KEYS, Part.SERVER))
    if location.ca_secret_ref:
        found.append(NamedSecret(location.ca_secret_ref.name, f"{path}.caSecretRef.name", CA_KEYS, Part.SERVER))
    return found


def read_by(stack: TrackingStack, part: Part) -> tuple[str, ...]:
    """Names of the Secrets that the part's pods read when they start."""
    jobs = ("spec.backup.", "spec.restoreFrom.")
    names = {secret.name for secret in named(stack) if secret.part is part and not secret.field.startswith(jobs)}
    names |= {secret.name for secret in own(stack) if part is Part.SERVER or secret.part is part}
    return tuple(sorted(names))
