"""runwright.dev/v1alpha1: the kinds that users write."""

from runwright.apis.v1alpha1.common import ApiModel, Condition, ObjectMeta, Timestamp, format_timestamp
from runwright.apis.v1alpha1.trackingstack import TrackingStack, TrackingStackSpec, TrackingStackStatus
from runwright.apis.v1alpha1.trainingrun import TrainingRun, TrainingRunSpec
from runwright.apis.v1alpha1.trainingrun_status import Phase, TrainingRunStatus

__all__ = [
    "ApiModel",
    "Condition",
    "ObjectMeta",
    "Phase",
    "Timestamp",
    "TrackingStack",
    "TrackingStackSpec",
    "TrackingStackStatus",
    "TrainingRun",
    "TrainingRunSpec",
    "TrainingRunStatus",
    "format_timestamp",
]
