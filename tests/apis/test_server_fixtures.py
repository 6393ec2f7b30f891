"""Good and bad objects on a real API server: the good are accepted as written, the bad refused by field and remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from runwright.apis.v1alpha1 import TrackingStack, TrainingRun
from tests.apis.server import Refused, Server

pytestmark = pytest.mark.contract

FIXTURES = Path(__file__).parent / "fixtures"
MODELS: dict[str, type[TrainingRun] | type[TrackingStack]] = {
    "TrainingRun": TrainingRun,
    "TrackingStack": TrackingStack,
}
MARK = "# refused: "


def documents(folder: str) -> list[Any]:
    """Return each document of a folder's files as a parameter (its text)."""
    return [
        pytest.param(text, id=f"{path.stem}-{number}")
        for path in sorted((FIXTURES / folder).glob("*.yaml"))
        for number, text in enumerate(path.read_text().split("\n---\n"), start=1)
    ]


@pytest.mark.parametrize("text", documents("valid"))
def test_a_valid_object_is_stored_as_written(server: Server, text: str) -> None:
    manifest = yaml.safe_load(text)
    stored = server.create(manifest)
    assert stored["spec"] == manifest["spec"]
    assert stored["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("text", documents("valid"))
def test_what_the_model_writes_is_accepted_and_read_back_equal(server: Server, text: str) -> None:
    manifest = yaml.safe_load(text)
    model = MODELS[manifest["kind"]].from_dict(manifest)
    manifest["metadata"]["name"] = "a-" + manifest["metadata"]["name"][2:]
    stored = server.create({**manifest, "spec": model.to_dict()["spec"]}, dry_run=True)
    assert MODELS[manifest["kind"]].from_dict(stored).spec == model.spec


@pytest.mark.parametrize("text", documents("invalid"))
def test_an_invalid_object_is_refused_with_the_field_and_the_remedy(server: Server, text: str) -> None:
    first, _, rest = text.partition("\n")
    assert first.startswith(MARK), "the first line says what the refusal contains"
    with pytest.raises(Refused) as refusal:
        server.create(yaml.safe_load(rest), dry_run=True)
    assert first.removeprefix(MARK) in str(refusal.value)


@pytest.mark.parametrize("text", documents("invalid"))
def test_an_invalid_object_is_refused_for_one_reason_only(server: Server, text: str) -> None:
    with pytest.raises(Refused) as refusal:
        server.create(yaml.safe_load(text), dry_run=True)
    reasons = [cause for cause in refusal.value.causes if "some validation rules were not checked" not in cause]
    assert len(reasons) <= 1, reasons
