"""The operator's settings, from ``RUNWRIGHT_*`` environment variables; the chart sets them."""

import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from runwright.errors import ConfigurationError
from runwright.ports import Key

T = TypeVar("T")

NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
MAX_PORT: Final = 65535
MAX_CONCURRENCY: Final = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """What the administrator decided. Each field names its variable."""

    default_stack: Key | None = None
    """RUNWRIGHT_DEFAULT_STACK=namespace/name: the TrackingStack of runs that name none."""
    watch_namespaces: tuple[str, ...] = ()
    """RUNWRIGHT_WATCH_NAMESPACES=a,b; empty: all namespaces."""
    log_level: str = "INFO"
    """RUNWRIGHT_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""
    log_format: str = "json"
    """RUNWRIGHT_LOG_FORMAT: json or text."""
    concurrency: int = 32
    """RUNWRIGHT_CONCURRENCY: TrainingRuns reconciled at once."""
    lease_namespace: str = "runwright-system"
    """RUNWRIGHT_LEASE_NAMESPACE; default: the pod's own namespace, else runwright-system."""
    pod_name: str = field(default_factory=lambda: f"runwright-{uuid.uuid4().hex[:8]}")
    """RUNWRIGHT_POD_NAME: the Lease's holder and the reporter of Events."""
    http_port: int = 8080
    """RUNWRIGHT_HTTP_PORT: /healthz, /readyz and /metrics; 0 picks a free port and logs it."""
    log_tail: bool = True
    """RUNWRIGHT_LOG_TAIL=true|false: whether failures show log lines in the status."""
    cluster_domain: str = "cluster.local"
    """RUNWRIGHT_CLUSTER_DOMAIN: DNS domain of the cluster."""
    image: str = "runwright/operator:0.1.0"
    """RUNWRIGHT_IMAGE: the operator's own image, which fetches code and data for training pods."""
    image_pull_policy: str = ""
    """RUNWRIGHT_IMAGE_PULL_POLICY: for that image; empty: Kubernetes' default."""
    tracking: bool = True
    """RUNWRIGHT_TRACKING=on|off; off: runs without any tracker, for benchmarks."""
    stack_namespaces: tuple[str, ...] = ()
    """RUNWRIGHT_STACK_NAMESPACES=a,b: where TrackingStacks may be made; empty: only external ones work."""
    stack_defaults: Path | None = None
    """RUNWRIGHT_STACK_DEFAULTS: YAML file of chart values that lie below what a TrackingStack says."""
    helm: str = "helm"
    """RUNWRIGHT_HELM: the helm binary (version 4), a path or a name on PATH."""
    charts: Path = Path("/opt/runwright/charts")
    """RUNWRIGHT_CHARTS: folder of the charts postgresql, object-store and mlflow."""
    default_stack_file: Path | None = None
    """RUNWRIGHT_DEFAULT_STACK_FILE: manifest of the TrackingStack that the operator itself keeps."""


def read(environ: Mapping[str, str] = os.environ, namespace_file: Path = NAMESPACE_FILE) -> Settings:
    """Read the settings; an empty variable counts as absent.

    Raises:
        ConfigurationError: a variable is malformed; the message names it.
    """
    values: dict[str, object] = {}
    if namespace_file.exists():
        values["lease_namespace"] = namespace_file.read_text().strip()
    for name, (attribute, parse) in _PARSERS.items():
        if value := environ.get(name, "").strip():
            try:
                values[attribute] = parse(value)
            except ValueError as error:
                raise ConfigurationError(f"{name}={value!r}: {error}") from error
    return Settings(**values)  # type: ignore[arg-type]  # the table below gives each attribute its type


def unknown(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Name the ``RUNWRIGHT_*`` variables that mean nothing: typing errors, most likely.

    What Kubernetes injects for a Service that is named like us is left out.
    """
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith("RUNWRIGHT_") and name not in _PARSERS and not SERVICE_LINK.search(name)
        )
    )


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        for choice in allowed:
            if value.lower() == choice.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return parse


def _flag(value: str) -> bool:
    words = {"true": True, "on": True, "1": True, "yes": True, "false": False, "off": False, "0": False, "no": False}
    try:
        return words[value.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def _namespace(value: str) -> str:
    if not DNS_LABEL.fullmatch(value):
        raise ValueError("must be the name of a namespace: lower-case letters, digits and '-', at most 63")
    return value


def _namespaces(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_namespace(part.strip()) for part in value.split(",") if part.strip()))


def _key(value: str) -> Key:
    namespace, slash, name = value.partition("/")
    if not slash or not DNS_LABEL.fullmatch(namespace) or not DNS_NAME.fullmatch(name):
        raise ValueError("must be namespace/name of a TrackingStack")
    return Key(namespace, name)


def _domain(value: str) -> str:
    if not DNS_NAME.fullmatch(value):
        raise ValueError("must be a DNS domain such as cluster.local")
    return value


def _file(value: str) -> Path:
    path = Path(value)
    if not path.is_absolute():
        raise ValueError("must be the absolute path of a file")
    return path


_PARSERS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "RUNWRIGHT_DEFAULT_STACK": ("default_stack", _key),
    "RUNWRIGHT_WATCH_NAMESPACES": ("watch_namespaces", _namespaces),
    "RUNWRIGHT_LOG_LEVEL": ("log_level", _choice("DEBUG", "INFO", "WARNING", "ERROR")),
    "RUNWRIGHT_LOG_FORMAT": ("log_format", _choice("json", "text")),
    "RUNWRIGHT_CONCURRENCY": ("concurrency", _number(1, MAX_CONCURRENCY)),
    "RUNWRIGHT_LEASE_NAMESPACE": ("lease_namespace", _namespace),
    "RUNWRIGHT_POD_NAME": ("pod_name", str),
    "RUNWRIGHT_HTTP_PORT": ("http_port", _number(0, MAX_PORT)),
    "RUNWRIGHT_LOG_TAIL": ("log_tail", _flag),
    "RUNWRIGHT_CLUSTER_DOMAIN": ("cluster_domain", _domain),
    "RUNWRIGHT_IMAGE": ("image", str),
    "RUNWRIGHT_IMAGE_PULL_POLICY": ("image_pull_policy", _choice("Always", "IfNotPresent", "Never")),
    "RUNWRIGHT_TRACKING": ("tracking", _flag),
    "RUNWRIGHT_STACK_NAMESPACES": ("stack_namespaces", _namespaces),
    "RUNWRIGHT_STACK_DEFAULTS": ("stack_defaults", _file),
    "RUNWRIGHT_HELM": ("helm", str),
    "RUNWRIGHT_CHARTS": ("charts", Path),
    "RUNWRIGHT_DEFAULT_STACK_FILE": ("default_stack_file", _file),
}
