"""Starts and stops a second bare node in the network namespace that it is run in, for the tests of the node itself.

So they disturb neither the cluster that other tests use nor a developer's. It runs pods of the Debian base image.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from tests.cluster import buildah, hostpackages, leftovers, node
from tests.cluster.errors import ClusterError
from tests.cluster.providers.bare import BareProvider
from tests.cluster.steps import Steps


def up() -> str:
    """Start the node with the base image on it; print its kubeconfig."""
    steps = Steps()
    cluster = BareProvider().up(steps, ())
    buildah.ensure_base(steps)
    node.open_node(steps).load([buildah.Built(buildah.BASE, buildah.BASE_HASH)], steps)
    return str(cluster.kubeconfig)


def crash() -> str:
    """End every process of the node with SIGKILL, the shims too, and leave the rest as it is."""
    pids = leftovers.processes()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"killed {len(pids)}"


def main() -> int:
    """Carry out the command named on the command line; 1 and the reason if it can't."""
    os.environ.pop("KUBECONFIG", None)
    hostpackages.install(Steps())
    try:
        match sys.argv[1:]:
            case ["up"]:
                print(up())
            case ["down"]:
                BareProvider().down(Steps())
            case ["crash"]:
                print(crash())
            case ["left"]:
                print("\n".join(leftovers.find()))
            case _:
                print("usage: up | down | crash | left", file=sys.stderr)
                return 2
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
