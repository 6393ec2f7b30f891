"""`python -m tests.cluster up|down|status|build|images|load`: the testbed's command line."""

from __future__ import annotations

import argparse
import sys

from tests.cluster import testbed
from tests.cluster.errors import ClusterError
from tests.cluster.images import IMAGES
from tests.cluster.steps import Steps

_COMMANDS = {
    "up": "start the cluster, with the images on it (again: nothing, or what changed)",
    "down": "stop it and leave nothing but the caches",
    "status": "say whether it runs",
    "build": "build the programs only",
    "images": "build the images only",
    "load": "build images and bring them to the running cluster",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 1 if not, with the reason and the remedy on stderr."""
    listed = "\n".join(f"  {name:8}{text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=f"A real Kubernetes for tests.\n\ncommands:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="RUNWRIGHT_CLUSTER=auto|kubeconfig|kind|bare chooses how the cluster is had.",
    )
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument(
        "--only", action="append", choices=sorted(IMAGES), metavar="IMAGE", help="only this image (repeatable)"
    )
    given = parser.parse_args(arguments)
    steps = Steps()
    try:
        _carry_out(given.command, tuple(given.only or IMAGES), steps)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    if steps.taken:
        print(steps.summary(f"{given.command}: seconds per step"), file=sys.stderr)
    return 0


def _carry_out(command: str, images: tuple[str, ...], steps: Steps) -> None:
    if command == "up":
        found = testbed.up(images, steps)
        print(f"export KUBECONFIG={found.kubeconfig}")
        return
    if command == "down":
        testbed.down(steps)
        return
    provider = testbed.open_provider(running=command in {"status", "load"})
    if command == "status":
        print(f"{provider.name}: {provider.status()}")
    elif command == "build":
        provider.build(steps)
    elif command == "images":
        provider.images(steps, testbed.select(images))
    else:
        provider.load(steps, testbed.select(images))


if __name__ == "__main__":
    sys.exit(main())
