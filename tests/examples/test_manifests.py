"""The example's manifests: complete, current, and made of what the API knows."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwright.apis.v1alpha1 import TrainingRun
from tests.examples.modules import EXAMPLE, load

MANIFESTS = sorted(EXAMPLE.glob("trainingrun*.yaml"))
render = load("render")


def read(path: Path) -> dict[str, Any]:
    (document,) = yaml.safe_load_all(path.read_text())
    assert isinstance(document, dict)
    return document


def test_there_is_a_manifest_for_each_way_to_train() -> None:
    assert {path.stem.removeprefix("trainingrun") for path in MANIFESTS} == {"", "-classic", "-ddp", "-gpu"}
    assert len({read(path)["metadata"]["name"] for path in MANIFESTS}) == len(MANIFESTS)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_holds_the_code_as_it_is(path: Path) -> None:
    files = read(path)["spec"]["source"]["inline"]["files"]
    assert files == {name: (EXAMPLE / name).read_text() for name in ("train.py", "hyperparameters.py")}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_api_keeps_every_field_of_a_manifest(path: Path) -> None:
    document = read(path)
    assert lost(document, TrainingRun.from_dict(document).to_dict()) == []


def lost(written: Any, kept: Any, where: str = "") -> list[str]:
    """Return the paths of what was written but not kept as it was."""
    if isinstance(written, Mapping) and isinstance(kept, Mapping):
        return [path for key, value in written.items() for path in lost(value, kept.get(key), f"{where}.{key}")]
    if isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        pairs = enumerate(zip(written, kept, strict=True))
        return [path for i, (old, new) in pairs for path in lost(old, new, f"{where}[{i}]")]
    return [] if written == kept else [where]


def test_a_field_that_the_api_does_not_know_is_found() -> None:
    document = read(MANIFESTS[0])
    document["spec"]["objective"]["aim"] = "high"
    assert lost(document, TrainingRun.from_dict(document).to_dict()) == [".spec.objective.aim"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_parameters_are_known_and_say_what_the_recipe_says(path: Path) -> None:
    spec = TrainingRun.from_dict(read(path)).spec
    hyperparameters = load("hyperparameters")
    from_recipe, _ = hyperparameters.read(["--recipe", spec.parameters["recipe"], "--seed", str(spec.seed)])
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in spec.parameters.items()]
    from_manifest, _ = hyperparameters.read([*arguments, "--seed", str(spec.seed)])
    assert from_manifest == from_recipe


def test_check_finds_stale_manifests_and_render_mends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*render.CODE, *(path.name for path in MANIFESTS)]:
        shutil.copy(EXAMPLE / name, tmp_path)
    monkeypatch.setattr(render, "FOLDER", tmp_path)
    assert render.main(["--check"]) == 0
    code = tmp_path / "train.py"
    code.write_text(code.read_text() + '\n# "quoted": {braces}\n')
    assert render.main(["--check"]) == 1
    assert "trainingrun.yaml: out of date; run python examples/mnist/render.py" in capsys.readouterr().err
    assert render.main([]) == 0
    assert render.main(["--check"]) == 0
    assert read(tmp_path / "trainingrun.yaml")["spec"]["source"]["inline"]["files"]["train.py"] == code.read_text()


def test_a_manifest_without_the_mark_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in render.CODE:
        shutil.copy(EXAMPLE / name, tmp_path)
    (tmp_path / "trainingrun.yaml").write_text("kind: TrainingRun\n")
    monkeypatch.setattr(render, "FOLDER", tmp_path)
    assert render.main([]) == 1
    assert "trainingrun.yaml: there is no line 'files:" in capsys.readouterr().err.replace("'      ", "'")
