"""What the kinds need from the outside, as Protocols that `kube/` and `tracking/` implement.

Objects of the API server travel as the plain JSON the server sent: the core reads them through small frozen views
(`trainingrun/observed.py`), so that nothing is lost by parsing and re-serialising.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Protocol

Json = Mapping[str, Any]
"""A JSON object as received; never mutated."""

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
"""MLflow's run states. The server ignores unknown ones silently (answers 200), hence the closed set."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A namespaced name: what a work queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Kind(Enum):
    """The kinds that Runwright reads or writes: (API path prefix, plural, kind)."""

    TRAINING_RUN = ("/apis/runwright.dev/v1alpha1", "trainingruns", "TrainingRun")
    TRACKING_STACK = ("/apis/runwright.dev/v1alpha1", "trackingstacks", "TrackingStack")
    JOB = ("/apis/batch/v1", "jobs", "Job")
    POD = ("/api/v1", "pods", "Pod")
    SERVICE = ("/api/v1", "services", "Service")
    CONFIG_MAP = ("/api/v1", "configmaps", "ConfigMap")
    EVENT = ("/api/v1", "events", "Event")
    WORKLOAD = ("/apis/kueue.x-k8s.io/v1beta2", "workloads", "Workload")
    LEASE = ("/apis/coordination.k8s.io/v1", "leases", "Lease")
    SECRET = ("/api/v1", "secrets", "Secret")
    VOLUME_CLAIM = ("/api/v1", "persistentvolumeclaims", "PersistentVolumeClaim")
    STATEFUL_SET = ("/apis/apps/v1", "statefulsets", "StatefulSet")
    DEPLOYMENT = ("/apis/apps/v1", "deployments", "Deployment")
    CRON_JOB = ("/apis/batch/v1", "cronjobs", "CronJob")
    NAMESPACE = ("/api/v1", "namespaces", "Namespace")

    @property
    def path(self) -> str:
        """API path prefix, e.g. ``/apis/batch/v1``."""
        return self.value[0]

    @property
    def plural(self) -> str:
        """Resource name in URLs, e.g. ``jobs``."""
        return self.value[1]

    @property
    def kind(self) -> str:
        """``kind`` field of the objects."""
        return self.value[2]

    @property
    def api_version(self) -> str:
        """``apiVersion`` field of the objects."""
        return self.path.removeprefix("/apis/").removeprefix("/api/")


@dataclass(frozen=True, slots=True)
class EventNote:
    """A Kubernetes Event to post about an object; best effort, never retried."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Cluster(Protocol):
    """The API server: cached reads of what is watched, live reads, and writes.

    Live calls raise `ClusterUnavailableError` (retry), `RefusedError` (do not), and what each method names.
    """

    def cached(self, kind: Kind, key: Key) -> Json | None:
        """Return the cached object of a watched kind (TRAINING_RUN, TRACKING_STACK, JOB, POD), or None."""

    def owned(self, kind: Kind, run_uid: str) -> Sequence[Json]:
        """Return the cached JOBs or PODs whose label ``runwright.dev/run-uid`` is `run_uid`."""

    async def get(self, kind: Kind, key: Key) -> Json | None:
        """Read live; None when absent. The answer replaces the cache entry of a watched kind."""

    async def create(self, kind: Kind, obj: Json) -> Json:
        """POST; the answer enters the cache.

        Raises:
            AlreadyExistsError: the name is taken.
        """

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        """DELETE with ``propagationPolicy: Background`` and a uid precondition; absent or another uid is success."""

    async def apply_status(self, kind: Kind, obj: Json) -> Json:
        """Server-side apply of ``status`` with ``metadata.resourceVersion`` as the fence; the answer enters the cache.

        Raises:
            ConflictError: the object changed since it was read.
        """

    async def select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[Json]:
        """Read live the objects of a namespace that have all these labels."""

    async def patch(self, kind: Kind, key: Key, change: Json) -> Json:
        """JSON merge patch; ``metadata.uid`` or ``metadata.resourceVersion`` in `change` is a fence.

        Raises:
            ConflictError: the fence did not hold.
        """

    async def last_log_time(self, key: Key) -> datetime | None:
        """Read when the pod's ``trainer`` container printed its last line; None when it has printed none."""

    async def pod_log(self, key: Key, *, tail_lines: int | None = None, limit_bytes: int | None = None) -> str:
        """Read the log of the pod's ``trainer`` container (undecodable bytes replaced); ``""`` when there is none."""

    async def post_event(self, kind: Kind, obj: Json, note: EventNote) -> None:
        """Post an Event that regards `obj`; failures are logged, not raised."""


class StackCluster(Cluster, Protocol):
    """What only the reconciler of TrackingStacks needs besides."""

    async def orphan(self, kind: Kind, key: Key, *, uid: str) -> None:
        """DELETE with ``propagationPolicy: Orphan``: dependents stay; absent or another uid is success."""


@dataclass(frozen=True, slots=True)
class WantedRelease:
    """A Helm release as it should be."""

    key: Key
    """Namespace and name of the release."""
    chart: str
    """Name of one of the project's charts: ``postgresql``, ``object-store``, ``mlflow``."""
    values: Json
    """The chart's values."""
    owner: Json
    """ownerReference (of the TrackingStack) that Helm's own records of the release get."""


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release as Helm recorded it last."""

    chart: str
    version: str
    """Version of the chart."""
    app_version: str
    revision: int
    state: str
    """Helm's word: deployed, failed, superseded, pending-install, pending-upgrade, pending-rollback, uninstalled."""
    description: str
    """Helm's message; of a failed one, why."""
    current: bool
    """Whether it was made of the very chart and values that are wanted now, and ended well."""


class Releases(Protocol):
    """Helm. Every call raises `ClusterUnavailableError` (retry) or `RefusedError` (do not)."""

    async def find(self, wanted: WantedRelease) -> Release | None:
        """Read the last record of the release; None when there is none."""

    async def install(self, wanted: WantedRelease) -> Release:
        """Install or upgrade; does not wait for pods. A record left pending by a helm that was killed is healed first.

        Raises:
            RefusedError: helm or the API server refused; the message is helm's own, in one line.
        """

    async def drift(self, wanted: WantedRelease) -> Sequence[str]:
        """Name what of the release's manifest is absent from the cluster or was edited: ``Deployment a-mlflow``."""


@dataclass(frozen=True, slots=True)
class TrackingServer:
    """Where a TrackingStack's MLflow answers: identifies a `Tracker`."""

    uri: str
    """Base URL for the operator and the pods, without a trailing slash."""
    ui_url: str = ""
    """Base URL for people; empty when it is the same."""
    shared: bool = False
    """True for the operator's default stack when a namespace other than its own uses it: experiments get the
    namespace as prefix."""
    operator_secret: Key | None = None
    """Secret (username, password) that the operator logs in with; None: the server asks for no login."""
    client_secret: str = ""
    """Name of the Secret (username, password) in the run's namespace that training pods log in with."""
    ca_bundle: str = ""
    """Authorities (PEM) to trust; the operator trusts the system's besides, the pods' MLflow client only these."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The latest point of a metric, as MLflow defines latest: highest step, then timestamp."""

    name: str
    value: float
    step: int
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """An MLflow run as last seen."""

    run_id: str
    experiment_id: str
    status: RunStatus
    deleted: bool = False
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What `Tracker.create_run` needs."""

    experiment: str
    run_name: str
    uid: str
    """uid of the TrainingRun; becomes the tag ``runwright.uid`` by which a run is found again."""
    start_time: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    """All tags, ``runwright.*`` and ``mlflow.*`` ones included."""


class Tracker(Protocol):
    """One MLflow server. Every call raises `TrackerUnavailableError` (retry) or `RefusedError` (do not)."""

    @property
    def problem(self) -> str:
        """Why the server is considered away (circuit open), as one stable sentence; ``""`` while it answers."""

    async def ping(self) -> None:
        """Ask whether the server and its database answer; ends an open circuit early when they do."""

    async def create_run(self, new: NewRun, *, search_first: bool) -> TrackedRun:
        """Make the run, and the experiment when it is missing.

        ``runs/create`` is not idempotent: with `search_first` the tag ``runwright.uid`` is searched before and the
        oldest match adopted (a previous try may have ended between the server's commit and our note of it).
        """

    async def find_recorded(self, experiment: str, tags: Mapping[str, str]) -> TrackedRun | None:
        """Find the newest FINISHED run of an experiment that has all these tags; None when there is none."""

    async def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters in batches; the same value twice is fine."""

    async def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags in one batch."""

    async def refresh(self, run_id: str) -> TrackedRun | None:
        """Read the run now (concurrent calls share one search); None when the server does not know it."""

    async def metric_history(self, run: TrackedRun, metric: str) -> Sequence[Metric]:
        """All points of one metric, in order of step."""

    async def close_run(self, run_id: str, status: RunStatus, end_time: datetime, *, tags: Mapping[str, str]) -> None:
        """Write the terminal state, and look once more some seconds later.

        Runs nested below it that are still RUNNING are closed the same way (KILLED below a FINISHED parent). The run
        is not followed any more.
        """

    async def upload(self, run: TrackedRun, path: str, content: bytes) -> None:
        """Store an artifact of the run at `path` (``logs/attempt-1/node-0.log``)."""

    def follow(self, run_id: str, key: Key) -> None:
        """Poll the run's metrics from now on; `key` is enqueued when something changed. Idempotent."""

    def seen(self, run_id: str) -> TrackedRun | None:
        """The poller's latest view of a followed run."""


Trackers = Callable[[TrackingServer], Tracker]
"""The registry of trackers: one client, poller and circuit breaker per server."""

OrphanVerdict = Literal["leave", "wait", "reconcile"] | RunStatus
"""What to do with a RUNNING MLflow run found by the sweeper: leave it, leave it and ask again soon (the pods of a
deleted TrainingRun still end), enqueue its TrainingRun, or close it so."""

ResolveOrphan = Callable[[TrackedRun], Awaitable[OrphanVerdict]]
