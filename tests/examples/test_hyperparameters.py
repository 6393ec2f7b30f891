"""Where the example's hyperparameters come from, and what is said about wrong ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.examples.modules import load

hyperparameters = load("hyperparameters")


@pytest.fixture(autouse=True)
def outside_runwright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWRIGHT_PARAMS_FILE", raising=False)
    monkeypatch.delenv("RUNWRIGHT_SEED", raising=False)


def give(monkeypatch: pytest.MonkeyPatch, folder: Path, content: Any) -> None:
    file = folder / "params.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    monkeypatch.setenv("RUNWRIGHT_PARAMS_FILE", str(file))


def refusal(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        hyperparameters.read(arguments)
    assert stop.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    return line.partition(": error: ")[2]


def test_the_recipe_gives_the_defaults() -> None:
    fast, recorded = hyperparameters.read([])
    assert (fast.recipe, fast.epochs, fast.hidden_sizes, fast.validation_size) == ("fast", 5, (128, 64), 5000)
    classic, _ = hyperparameters.read(["--recipe", "classic"])
    assert (classic.epochs, classic.batch_size, classic.lr, classic.momentum) == (35, 64, 0.035, 0.5)
    assert recorded == frozenset()


def test_the_trainingrun_comes_before_the_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"recipe": "classic", "lr": 0.1, "hidden_sizes": [32], "epochs": 2}
    give(monkeypatch, tmp_path, given)
    monkeypatch.setenv("RUNWRIGHT_SEED", "7")
    params, recorded = hyperparameters.read([])
    assert (params.recipe, params.lr, params.hidden_sizes, params.epochs) == ("classic", 0.1, (32,), 2)
    assert params.momentum == 0.5
    assert params.seed == 7
    assert recorded == {*given, "seed"}, "Runwright has logged these"


def test_the_command_line_may_repeat_a_parameter_but_not_change_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, tmp_path, {"lr": 0.1})
    params, _ = hyperparameters.read(["--lr", "1e-1", "--momentum", "0"])
    assert (params.lr, params.momentum) == (0.1, 0)
    assert refusal(capsys, ["--lr", "0.2"]) == "lr is 0.1 in the TrainingRun's parameters; the command line differs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "fast"], "argument --lr: 'fast' is not a number (float) from 1e-09 to 100"),
        (["--lr", "nan"], "argument --lr: 'nan' is not a number (float) from 1e-09 to 100"),
        (["--epochs", "0"], "argument --epochs: '0' is not a number (int) from 1 to 10000"),
        (["--epochs", "1.5"], "argument --epochs: '1.5' is not a number (int) from 1 to 10000"),
        (
            ["--hidden-sizes", "128,-1"],
            "argument --hidden-sizes: '128,-1' is not a list of layer sizes such as [128, 64]",
        ),
        (["--hidden-sizes", "[]"], "argument --hidden-sizes: '[]' is not a list of layer sizes such as [128, 64]"),
        (["--recipe", "slow"], "argument --recipe: 'slow' is not one of fast, classic"),
        (["--seed", "-1"], "argument --seed: '-1' is not a number (int) from 0 to 4294967295"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, arguments) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"lr": "warm"}, "argument --lr: 'warm' is not a number (float) from 1e-09 to 100"),
        ({"recipe": "slow"}, "argument --recipe: 'slow' is not one of fast, classic"),
        ({"epochs": True}, "argument --epochs: 'true' is not a number (int) from 1 to 10000"),
        ({"lrr": 0.1}, "unknown parameter 'lrr'; there are recipe, epochs, batch_size, lr, "),
        ("[1]", "cannot be read as a JSON object"),
        ("{", "cannot be read as a JSON object"),
    ],
)
def test_a_wrong_parameter_is_told_in_one_line(
    content: Any, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, tmp_path, content)
    assert message in refusal(capsys, [])


def test_a_missing_parameters_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNWRIGHT_PARAMS_FILE", str(tmp_path / "gone.json"))
    assert "gone.json cannot be read" in refusal(capsys, [])
