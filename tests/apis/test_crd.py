"""The generated CRDs: bounded everywhere, free of what Kubernetes or GitOps suffers from, and up to date."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwright.apis import crd
from runwright.apis.crd import KINDS, annotated_schema, crd_for, generated_files, main, stale_files
from runwright.apis.v1alpha1 import TrackingStack, TrainingRun

ROOT = Path(__file__).parents[2]
FILES = generated_files()
Node = dict[str, Any]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every node of a structural schema with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from walk(node["additionalProperties"], f"{path}.*")


def version_of(model: crd.Kind) -> Node:
    version: Node = crd_for(model)["spec"]["versions"][0]
    return version


def schema_of(model: crd.Kind) -> Node:
    schema: Node = version_of(model)["schema"]["openAPIV3Schema"]
    return schema


NODES = [
    pytest.param(node, id=f"{model.resource.kind}{path}")
    for model in KINDS
    for path, node in walk(schema_of(model))
    if path not in {".apiVersion", ".kind", ".metadata"} and not path.startswith(".metadata.")
]


@pytest.mark.parametrize("node", NODES)
def test_every_node_is_bounded_described_and_typed(node: Node) -> None:
    match node.get("type"):
        case "string":
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "array":
            assert "maxItems" in node
            assert node["x-kubernetes-list-type"] in {"map", "atomic", "set"}
            if node["x-kubernetes-list-type"] == "map":
                assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])
        case "object":
            assert ("properties" in node) != ("additionalProperties" in node)
            assert "additionalProperties" not in node or "maxProperties" in node
        case "integer":
            assert node["format"] in {"int32", "int64"}
        case "boolean":
            pass
        case None:
            assert node["x-kubernetes-int-or-string"] is True
            assert "maxLength" in node
            assert "pattern" in node
        case other:
            pytest.fail(f"type {other} has no place in the API")
    assert "nullable" not in node


STEPS = {
    ".status.objective.step",
    ".status.objective.bestStep",
    ".status.metrics[].step",
    ".status.progress.step",
    ".status.checkpoint.step",
    ".status.progress.totalSteps",
}
"""MLflow's steps are any 64-bit integers, a bound that the API server cannot hold (it reads bounds as floats)."""


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.resource.kind)
def test_every_integer_but_a_step_has_both_bounds(model: crd.Kind) -> None:
    open_ended = {
        path
        for path, node in walk(schema_of(model))
        if node.get("type") == "integer" and not {"minimum", "maximum"} <= set(node)
    }
    assert open_ended <= STEPS


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.resource.kind)
def test_every_field_is_described_in_one_sentence_or_two(model: crd.Kind) -> None:
    for path, node in walk(schema_of(model)):
        if path.endswith((".*", "[]")) or path in {"", ".metadata", ".metadata.name"}:
            continue
        description = node.get("description", "")
        assert description, path
        assert "\n" not in description, path
        assert description.endswith((".", "replaced.")), path


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.resource.kind)
def test_the_server_writes_no_default_into_spec(model: crd.Kind) -> None:
    defaults = {path: node["default"] for path, node in walk(schema_of(model)) if "default" in node}
    assert defaults == {".status": {}, ".status.observedGeneration": -1}


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.resource.kind)
def test_every_rule_has_a_message_of_one_line(model: crd.Kind) -> None:
    for path, node in walk(schema_of(model)):
        for rule in node.get("x-kubernetes-validations", []):
            assert set(rule) <= {"rule", "message", "fieldPath"}, path
            assert "\n" not in rule["message"], path
            assert len(rule["message"]) <= 2048, path  # apiextensions/v1 ValidationRule.message


def test_names_of_the_training_run() -> None:
    spec = crd_for(TrainingRun)["spec"]
    assert spec["group"] == "runwright.dev"
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["plural"] == "trainingruns"
    assert spec["names"]["shortNames"] == ["trun"]
    assert spec["names"]["categories"] == ["runwright"]
    version = spec["versions"][0]
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"] == [
        {"jsonPath": ".status.phase"},
        {"jsonPath": ".spec.ttlSecondsAfterFinished"},
    ]


def test_names_of_the_tracking_stack() -> None:
    names = crd_for(TrackingStack)["spec"]["names"]
    assert (names["kind"], names["plural"], names["shortNames"]) == ("TrackingStack", "trackingstacks", ["tstack"])


def test_columns_of_the_training_run() -> None:
    columns = version_of(TrainingRun)["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if "priority" not in column]
    wide = [column["name"] for column in columns if column.get("priority") == 1]
    assert narrow == ["Phase", "Progress", "Metric", "Attempt", "Experiment", "Age"]
    assert wide == ["Run-ID", "Nodes", "ETA", "Message"]


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.resource.kind)
def test_columns_and_selectable_fields_point_at_fields_that_exist(model: crd.Kind) -> None:
    version = version_of(model)
    known = {path.replace("[]", "") for path, _ in walk(schema_of(model))} | {".metadata.creationTimestamp"}
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    paths += [field["jsonPath"] for field in version.get("selectableFields", [])]
    for path in paths:
        head, _, rest = path.partition("[?")
        assert head + rest.partition("]")[2] in known, path


def rules_of(model: crd.Kind) -> set[tuple[str, str | None]]:
    """Where the kind's transition rules stand: the node, and the field that the refusal names."""
    return {
        (path, rule.get("fieldPath"))
        for path, node in walk(schema_of(model))
        for rule in node.get("x-kubernetes-validations", [])
        if "oldSelf" in rule["rule"]
    }


def test_what_is_fixed_at_creation() -> None:
    assert (".spec", ".image") in rules_of(TrainingRun)
    assert rules_of(TrackingStack) == {
        (".spec", ".server.external"),
        (".spec", ".postgresql"),
        (".spec", ".objectStore"),
    }


def test_committed_files_are_up_to_date() -> None:
    assert stale_files(ROOT, FILES) == []


def test_the_charts_copies_are_byte_equal() -> None:
    files = sorted((ROOT / "crds").iterdir())
    copies = sorted((ROOT / "charts/runwright/files/crds").iterdir())
    assert [file.name for file in files] == [copy.name for copy in copies]
    assert [file.read_bytes() for file in files] == [copy.read_bytes() for copy in copies]


def test_files_hold_what_crd_for_returns() -> None:
    for model in KINDS:
        text = FILES[f"crds/runwright.dev_{model.resource.plural}.yaml"]
        assert yaml.safe_load(text) == crd_for(model)
        assert "&id" not in text


def test_the_reference_has_a_row_for_every_field() -> None:
    for model in KINDS:
        schema = annotated_schema(model)
        text = FILES["docs/reference/api.md"].split(f"## {model.resource.kind}\n", 1)[1]
        for part in ("spec", "status"):
            for path, node in walk(schema["properties"][part], part):
                if "properties" not in node:
                    continue
                section = text.split(f"`{path}`\n", 1)[1].split("####", 1)[0]
                for name in node["properties"]:
                    assert f"| `{name}`" in section, f"{path}.{name}"


def test_the_reference_marks_exactly_the_mutable_fields() -> None:
    text = FILES["docs/reference/api.md"]
    mutable = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `") and "*mutable*" in line]
    assert mutable == [
        "earlyStopping",
        "inactivity",
        "retry",
        "activeDeadlineSeconds",
        "pendingDeadlineSeconds",
        "gangTimeoutSeconds",
        "podsTTLSecondsAfterFinished",
        "ttlSecondsAfterFinished",
        "suspend",
        "stop",
        "tags",
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def test_check_writes_nothing_and_names_what_is_stale(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(repository)]) == 1
    assert "crds/runwright.dev_trainingruns.yaml is out of date: run python -m" in capsys.readouterr().err
    assert [path.name for path in repository.iterdir()] == ["pyproject.toml"]


def test_writing_settles_the_check(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(repository)]) == 0
    assert "wrote docs/reference/api.md" in capsys.readouterr().out
    assert main(["--check", "--root", str(repository)]) == 0
    assert main(["--root", str(repository)]) == 0
    assert capsys.readouterr().out == ""


def test_one_changed_byte_is_drift(repository: Path) -> None:
    main(["--root", str(repository)])
    copy = repository / "charts/runwright/files/crds/runwright.dev_trackingstacks.yaml"
    copy.write_text(copy.read_text() + "\n")
    assert stale_files(repository, FILES) == ["charts/runwright/files/crds/runwright.dev_trackingstacks.yaml"]


def test_outside_the_repository_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--root", str(tmp_path)])
    assert "is not the root of the repository: run this there, or pass --root" in capsys.readouterr().err


def test_the_command_of_ci() -> None:
    command = [sys.executable, "-m", "runwright.apis.crd", "--check", "--root", str(ROOT)]
    assert subprocess.run(command, check=False).returncode == 0
