"""Train a recipe with many seeds and print a Markdown table; takes the hyperparameters of train.py too.

Recipes are compared on the held-out validation images. The test images are read only with --test, for a recipe
that has been chosen.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import replace
from typing import Final

import hyperparameters
import train

GOAL: Final = 0.982


def main() -> None:
    """Print one row per seed, then a summary row; under torchrun, several processes train each seed."""
    parser = hyperparameters.Parser(description=__doc__, add_help=False)
    parser.add_argument("--seeds", type=hyperparameters.number(int, 2, 1000), default="10")
    parser.add_argument("--test", action="store_true")
    options, others = parser.parse_known_args()
    params, _ = hyperparameters.read(others)
    process = train.join()
    root = train.unpacked_data()
    images = train.load(root, process.device, train=True)
    test = train.load(root, process.device, train=False) if options.test else None
    rows: list[tuple[float, float, float, float]] = []
    say = print if process.rank == 0 else _silent
    say("| seed | val_accuracy | test_accuracy | seconds per epoch | seconds in all |\n|---|---|---|---|---|")
    for seed in range(options.seeds):
        train.seed_everything(seed)
        start = time.perf_counter()
        network = train.make_network(params.hidden_sizes).to(process.device)
        epochs = list(train.fit(network, images, replace(params, seed=seed), process))
        seconds = time.perf_counter() - start
        validated = epochs[-1].get("val_accuracy", math.nan)
        tested = train.evaluate(network, test)[1] if test else math.nan
        rows.append((validated, tested, statistics.median(epoch["epoch_seconds"] for epoch in epochs), seconds))
        say("| {} | {:.4f} | {:.4f} | {:.2f} | {:.2f} |".format(seed, *rows[-1]))
    validated_all, tested_all, per_epoch, in_all = zip(*rows, strict=True)
    cells = [_summary(validated_all), _summary(tested_all)]
    say(f"| all | {' | '.join(cells)} | {statistics.median(per_epoch):.2f} | {statistics.median(in_all):.2f} |")
    train.leave(process)


def _summary(values: tuple[float, ...]) -> str:
    if any(math.isnan(value) for value in values):
        return "not read"
    reached = sum(value >= GOAL for value in values)
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return f"{mean:.4f} ± {deviation:.4f}, least {min(values):.4f}, {reached}/{len(values)} >= {GOAL}"


def _silent(_: str) -> None:
    pass


if __name__ == "__main__":
    main()
