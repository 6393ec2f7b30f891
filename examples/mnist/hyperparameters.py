"""The hyperparameters of the MNIST example: recipes, the TrainingRun's parameters, the command line."""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RECIPES: Final[dict[str, dict[str, Any]]] = {
    # Nesterov momentum on a one-cycle schedule whose peak is lr; README.md says how it was chosen.
    "fast": {"epochs": 5, "batch_size": 256, "lr": 0.3, "momentum": 0.9, "label_smoothing": 0.1},
    # SGD at a constant rate, as in textbooks.
    "classic": {"epochs": 35, "batch_size": 64, "lr": 0.035, "momentum": 0.5, "label_smoothing": 0.0},
}


@dataclass(frozen=True)
class Params:
    """What a training is made of."""

    recipe: str
    epochs: int
    batch_size: int
    """Images per step, of all processes together."""
    lr: float
    momentum: float
    label_smoothing: float
    hidden_sizes: tuple[int, ...]
    validation_size: int
    """How many of the 60,000 training images are held out, the last ones."""
    seed: int


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print `message` and exit with code 2: trying again would not help."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type[int | float], low: float, high: float) -> Callable[[str], float]:
    """Return an argparse type: a number of `kind` from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number ({kind.__name__}) from {low} to {high}")
        return value

    return parse


def layer_sizes(text: str) -> tuple[int, ...]:
    """Read `[128, 64]` or `128,64`."""
    try:
        sizes = tuple(int(size) for size in text.strip("[] ").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of layer sizes such as [128, 64]")
    return sizes


def recipe_name(text: str) -> str:
    """Check the name of a recipe (argparse's choices would not check one from the TrainingRun)."""
    if text not in RECIPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(RECIPES)}")
    return text


def make_parser() -> Parser:
    """Return the parser of the hyperparameters; the recipe gives most defaults."""
    parser = Parser(description="Train 784-128-64-10 on MNIST.", epilog="Without a default: as the recipe says.")
    parser.add_argument("--recipe", type=recipe_name, default="fast", help="fast or classic")
    parser.add_argument("--epochs", type=number(int, 1, 10_000))
    parser.add_argument("--batch-size", type=number(int, 1, 60_000), help="of all processes together")
    parser.add_argument("--lr", type=number(float, 1e-9, 100), help="with recipe fast: the peak")
    parser.add_argument("--momentum", type=number(float, 0, 0.9999))
    parser.add_argument("--label-smoothing", type=number(float, 0, 0.9999))
    parser.add_argument("--hidden-sizes", type=layer_sizes, default="128,64", help="default: 128,64")
    parser.add_argument("--validation-size", type=number(int, 0, 59_000), default="5000", help="default: 5000")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=os.environ.get("RUNWRIGHT_SEED", "0"))
    return parser


def from_trainingrun(parser: Parser) -> dict[str, str]:
    """Return the parameters of the TrainingRun as text; none outside Runwright."""
    path = os.environ.get("RUNWRIGHT_PARAMS_FILE")
    if not path:
        return {}
    try:
        content = dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        parser.error(f"RUNWRIGHT_PARAMS_FILE={path} cannot be read as a JSON object: {error}")
    known = [field.name for field in fields(Params)]
    for name in content.keys() - set(known):
        parser.error(f"unknown parameter {name!r}; there are {', '.join(known)}")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def read(argv: Sequence[str] | None = None) -> tuple[Params, frozenset[str]]:
    """Return the parameters, and the names of those that the TrainingRun gave: Runwright has logged these.

    A parameter comes from the command line, else from the TrainingRun, else from the recipe.
    """
    parser = make_parser()
    given = from_trainingrun(parser)
    parser.set_defaults(**given)
    recipe = RECIPES[parser.parse_known_args(argv)[0].recipe]
    parser.set_defaults(**{name: str(value) for name, value in recipe.items()} | given)
    params = Params(**vars(parser.parse_args(argv)))
    recorded = parser.parse_args([])
    for name in given:  # MLflow keeps the first value of a parameter: a second one would be a lie
        if getattr(params, name) != getattr(recorded, name):
            parser.error(f"{name} is {given[name]} in the TrainingRun's parameters; the command line differs")
    return params, frozenset(given) | ({"seed"} if "RUNWRIGHT_SEED" in os.environ else set())
