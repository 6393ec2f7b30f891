"""With an owner, Kubernetes' garbage collector removes what a chart made; without one, nothing is rendered of it."""

import pytest
import yaml

from tests.charts import helm

pytestmark = pytest.mark.contract

OWNER = {
    "apiVersion": "runwright.dev/v1alpha1",
    "kind": "TrackingStack",
    "name": "team",
    "uid": "2d9a9c0e-5f5c-4a39-9d0b-0c9c4b0f6a11",
}
REFERENCE = {**OWNER, "controller": True, "blockOwnerDeletion": False}


def everything(chart: str, **values: object) -> str:
    """A rendering with every object that the chart can make."""
    return helm.template(chart, values, full=True)


@pytest.mark.parametrize("chart", helm.STACK)
def test_every_object_has_the_owner_and_no_volume_claim(chart: str) -> None:
    documents = helm.manifests(everything(chart, owner=OWNER))
    assert len(documents) > 3
    for document in documents:
        assert document["metadata"]["ownerReferences"] == [REFERENCE], document["metadata"]["name"]
        for claim in document.get("spec", {}).get("volumeClaimTemplates", ()):
            assert "ownerReferences" not in claim["metadata"]
    if chart == "mlflow":
        assert {"CronJob", "NetworkPolicy", "ConfigMap", "Ingress", "Deployment", "Service"} == {
            document["kind"] for document in documents
        }


@pytest.mark.parametrize("chart", helm.STACK)
def test_no_owner_is_nothing(chart: str) -> None:
    owned = everything(chart, owner=OWNER)
    alone = everything(chart, owner=None)
    assert "ownerReferences" not in alone
    # All that differs is the references.
    documents = [{**one, "metadata": {**one["metadata"]}} for one in helm.manifests(owned)]
    for document in documents:
        del document["metadata"]["ownerReferences"]
    assert yaml.safe_dump_all(documents) == yaml.safe_dump_all(helm.manifests(alone))
