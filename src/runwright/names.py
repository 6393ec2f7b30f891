"""Names that other programs and people rely on: labels, tags, and what training pods find where."""

from typing import Final

GROUP: Final = "runwright.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FIELD_MANAGER: Final = "runwright"

LABEL_RUN: Final = f"{GROUP}/run"
LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
LABEL_MLFLOW_RUN_ID: Final = f"{GROUP}/mlflow-run-id"
ANNOTATION_PARAMETERS: Final = f"{GROUP}/parameters"

TAG_CLUSTER: Final = "runwright.cluster"
"""uid of the kube-system namespace: tells this cluster's runs from another's on a shared tracker."""
TAG_UID: Final = "runwright.uid"
TAG_NAMESPACE: Final = "runwright.namespace"
TAG_NAME: Final = "runwright.name"
TAG_SPEC_HASH: Final = "runwright.spec_hash"
TAG_REASON: Final = "runwright.reason"
TAG_ATTEMPT: Final = "runwright.attempt"
TAG_PARENT_RUN: Final = "mlflow.parentRunId"

TRAINER_CONTAINER: Final = "trainer"
WORKSPACE: Final = "/workspace"
CONTROL_DIR: Final = "/runwright"
PARAMS_FILE: Final = f"{CONTROL_DIR}/params.json"
CA_FILE: Final = f"{CONTROL_DIR}/ca.crt"
"""Where pods find the authorities of the tracking server's certificate."""
MASTER_PORT: Final = 29500
"""Default port of torch.distributed's rendezvous (torch.distributed.run --master-port)."""
