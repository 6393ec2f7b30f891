"""Builds the parts of one operator process and connects them."""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from runwright.helm.process import Helm
from runwright.helm.releases import HelmReleases
from runwright.kube.cache import Cache
from runwright.kube.client import Client
from runwright.kube.cluster import KubeCluster
from runwright.kube.lease import Lease
from runwright.kube.resync import PERIOD_SECONDS, Resync
from runwright.kube.secrets import read_secret
from runwright.kube.watched import WATCHED
from runwright.operator import default_stack, stack_defaults
from runwright.operator.inbox import Inbox
from runwright.operator.metrics import Metrics
from runwright.operator.probes import Health
from runwright.operator.pulse import Beat
from runwright.operator.queue import WorkQueue
from runwright.operator.settings import Settings
from runwright.operator.streams import Streams
from runwright.ports import Json, Key, Kind
from runwright.servers import servers_of
from runwright.tracking.registry import TrackerRegistry
from runwright.trackingstack.options import Options as StackOptions
from runwright.trackingstack.reconcile import TrackingStackReconciler
from runwright.trainingrun.options import Options
from runwright.trainingrun.reconcile import TrainingRunReconciler

LEASE_NAME: Final = "runwright-operator"
STACK_CONCURRENCY: Final = 4
STACK_HUNG_SECONDS: Final = 900.0
"""A helm that hangs is ended after 130 s; a release may take two, and wait for those of three other stacks."""
LEASE_SILENT_SECONDS: Final = 60.0
"""Each try to acquire or renew is given up after 10 s and follows the last by 2 s."""
RESYNC_SILENT_SECONDS: Final = 3 * PERIOD_SECONDS
POLLER_SILENT_SECONDS: Final = 120.0


class Parts:
    """Everything one operator process holds, connected but not running.

    Args:
        client: Talks to the API server.
        settings: What the administrator decided.
        metrics: Where everything is counted.
        cluster_uid: uid of the kube-system namespace.
        account: ownerReference to the operator's ServiceAccount.
    """

    def __init__(
        self, client: Client, settings: Settings, metrics: Metrics, cluster_uid: str, account: Json | None = None
    ) -> None:
        now = time.monotonic()
        self.streams = Streams(WATCHED, settings.watch_namespaces, metrics.requested)
        lease_beat, resync_beat = Beat(LEASE_SILENT_SECONDS, now), Beat(RESYNC_SILENT_SECONDS, now)
        self.lease = Lease(
            client,
            Key(settings.lease_namespace, LEASE_NAME),
            settings.pod_name,
            owner=account,
            beat=lambda: lease_beat.beat(time.monotonic()),
        )
        cache = Cache()
        self.cluster = KubeCluster(
            client,
            cache,
            may_write=self.lease.held,
            instance=settings.pod_name,
            learned=lambda kind, obj: self.inbox.learned(kind, obj),  # noqa: PLW0108 - made below
        )
        self.trackers = TrackerRegistry(
            cluster_uid,
            lambda key: self.runs.add(key),  # noqa: PLW0108 - made below
            resolve=lambda orphan: reconciler.resolve_orphan(orphan),  # noqa: PLW0108 - made below
            read_secret=lambda key: read_secret(self.cluster, key),
        )
        reconciler = TrainingRunReconciler(
            cluster=self.cluster,
            trackers=self.trackers,
            options=_options(settings, cluster_uid),
            clock=lambda: datetime.now(UTC),
        )
        self.helm = Helm(settings.helm, client.connection.kubeconfig)
        stacks = TrackingStackReconciler(
            cluster=self.cluster,
            releases=HelmReleases(client, self.helm, settings.charts, may_write=self.lease.held),
            trackers=self.trackers,
            options=_stack_options(settings),
            clock=lambda: datetime.now(UTC),
            changed=lambda: self.inbox.stack_changed(),  # noqa: PLW0108 - made below
        )
        self.runs = WorkQueue(
            Kind.TRAINING_RUN,
            reconciler.reconcile,
            concurrency=settings.concurrency,
            find=lambda key: cache.get(Kind.TRAINING_RUN, key),
            record=metrics.reconciled,
        )
        self.stacks = WorkQueue(
            Kind.TRACKING_STACK,
            stacks.reconcile,
            concurrency=STACK_CONCURRENCY,
            find=lambda key: cache.get(Kind.TRACKING_STACK, key),
            record=metrics.reconciled,
            hung_seconds=STACK_HUNG_SECONDS,
        )
        self.queues = (self.runs, self.stacks)
        self.inbox = Inbox(
            cache,
            {queue.kind: queue for queue in self.queues},
            reconciler.departed,
            lambda: self.trackers.retain(servers_of(cache.all(Kind.TRACKING_STACK))),
            metrics.event,
        )
        self.resync = Resync(
            client,
            cache,
            namespaces=settings.watch_namespaces,
            stacks_in=settings.default_stack.namespace if settings.default_stack else "",
            found=self.inbox.found,
            beat=lambda: resync_beat.beat(time.monotonic()),
        )
        self.health = Health(self.queues, self.streams)
        self.health.beats |= {"lease": lease_beat, "resync": resync_beat}
        self.health.ages["pollers"] = (POLLER_SILENT_SECONDS, lambda: self.trackers.oldest_beat_seconds)
        made = settings.default_stack_file
        self.default_stack = (
            default_stack.DefaultStack(client, self.cluster, default_stack.read(made), may_write=self.lease.held)
            if made is not None
            else None
        )
        self._publish(metrics, cache)

    def _publish(self, metrics: Metrics, cache: Cache) -> None:
        metrics.gauge(
            "runwright_queue_depth",
            "Keys that are ready and wait for a worker.",
            "kind",
            lambda: {queue.kind.kind: len(queue) for queue in self.queues},
        )
        metrics.gauge(
            "runwright_reconciles_running",
            "Keys in work.",
            "kind",
            lambda: {queue.kind.kind: queue.running for queue in self.queues},
        )
        metrics.gauge(
            "runwright_training_runs",
            "TrainingRuns that are not finished, by phase.",
            "phase",
            lambda: _phases(cache),
        )


def _options(settings: Settings, cluster_uid: str) -> Options:
    return Options(
        cluster_uid=cluster_uid,
        default_stack=settings.default_stack,
        cluster_domain=settings.cluster_domain,
        log_tail=settings.log_tail,
        tracking=settings.tracking,
        image=settings.image,
        image_pull_policy=settings.image_pull_policy,
    )


def _stack_options(settings: Settings) -> StackOptions:
    return StackOptions(settings.cluster_domain, stack_defaults.read(settings.stack_defaults))


def _phases(cache: Cache) -> Mapping[str, float]:
    return Counter((run.get("status") or {}).get("phase") or "New" for run in cache.all(Kind.TRAINING_RUN))
