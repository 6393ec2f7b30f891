"""What the operator's settings say about TrainingRuns."""

from dataclasses import dataclass

from runwright.ports import Key


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that shape manifests and decisions; the same for all runs of one operator."""

    cluster_uid: str
    """uid of the kube-system namespace; the value of the tag ``runwright.cluster``."""
    default_stack: Key | None = None
    """The TrackingStack of runs that name none; None when the administrator set none."""
    cluster_domain: str = "cluster.local"
    """DNS domain of the cluster; part of MASTER_ADDR."""
    log_tail: bool = True
    """Whether ``status.failure.logTail`` may show log lines."""
    tracking: bool = True
    """False: runs are made without any tracker (benchmarks of the control plane alone)."""
    image: str = "runwright/operator:0.1.0"
    """The operator's own image, which fetches code and data."""
    image_pull_policy: str = ""
    """For that image; empty: Kubernetes' default."""
