"""What the operator's settings say about TrackingStacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runwright.ports import Json


@dataclass(frozen=True, slots=True)
class Options:
    """The same for all stacks of one operator."""

    cluster_domain: str = "cluster.local"
    """DNS domain of the cluster."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    """Values by chart that lie below what a TrackingStack says: a mirror registry, tolerations, resources."""
